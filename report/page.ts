/** One self-contained HTML page of figures. */
import type { Figure, Table } from './figure.js';

export interface PageOptions {
  /** The command that makes one figure. */
  command(figure: Figure): string;
  readonly machine: string;
  readonly date: string;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Lines that begin with | are a table as typed; the others are prose. */
function caption(text: string): string {
  const [prose, ...rest] = text.split('\n');
  const table = rest.filter((line) => line !== '').join('\n');
  return `<p>${escapeHtml(prose ?? '')}</p>${table === '' ? '' : `<pre>${escapeHtml(table)}</pre>`}`;
}

/** The first cell of a row names it. */
function table({ columns, rows }: Table): string {
  const line = (tag: string, cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>\n${[line('th', columns), ...rows.map((cells) => line('td', cells))].join('\n')}\n</table>`;
}

function section(figure: Figure, command: string): string {
  return `<figure id="${figure.name}">
<h2>${escapeHtml(figure.title)}</h2>
${figure.svg}${figure.table === undefined ? '' : `\n${table(figure.table)}`}
<figcaption>${caption(figure.caption)}
<p class="made">Made by <code>${escapeHtml(command)}</code>; numbers in <code>${figure.name}.json</code>.</p></figcaption>
</figure>`;
}

const style = `
body { font: 15px/1.5 Helvetica, Arial, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #222; background: white }
h1 { font-size: 1.7em } h2 { font-size: 1.2em; margin: 0 0 .6em }
figure { margin: 2.5em 0; break-inside: avoid } svg { max-width: 100%; height: auto }
figcaption { max-width: 50em } table { border-collapse: collapse; font-size: 13px; margin: .8em 0 } th, td { padding: .2em .7em; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left } pre { font-size: 12px; overflow-x: auto } .made { color: #666; font-size: .9em }
nav li { margin: .2em 0 }
@media print { body { margin: 0; max-width: none; font-size: 11px } nav { display: none } figure { page-break-inside: avoid } }
`;

export function reportPage(figures: readonly Figure[], { command, machine, date }: PageOptions): string {
  const links = figures.map(({ name, title }) => `<li><a href="#${name}">${escapeHtml(title)}</a></li>`).join('\n');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Performer for TypeScript: report</title><style>${style}</style></head>
<body>
<h1>Performer for TypeScript: what its features do</h1>
<p>Every figure comes from runs on ${escapeHtml(machine)}, ${escapeHtml(date)}.</p>
<nav><ul>
${links}
</ul></nav>
${figures.map((figure) => section(figure, command(figure))).join('\n')}
</body>
</html>
`;
}

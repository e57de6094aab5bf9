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

/** The first cell of a row names it. */
function table({ columns, rows }: Table): string {
  const line = (tag: string, cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="scroll"><table>\n${[line('th', columns), ...rows.map((cells) => line('td', cells))].join('\n')}\n</table></div>`;
}

function section(figure: Figure, command: string): string {
  const { svg, narrow } = figure.drawing;
  return `<figure id="${figure.name}">
<h2>${escapeHtml(figure.title)}</h2>
<figcaption><p>${escapeHtml(figure.caption)}</p></figcaption>
<div class="wide">${svg}</div>
<div class="narrow">${narrow}</div>${figure.table === undefined ? '' : `\n${table(figure.table)}`}
<p class="made">Made by <code>${escapeHtml(command)}</code>; numbers in <code>${figure.name}.json</code>.</p>
</figure>`;
}

const introduction = `
<p>The attention of a Transformer compares every token with every other, so that its cost grows with the square of the
length. A Performer replaces the comparison exp(q·k) by a product φ(q)·φ(k) of random features: the cost then grows with the
length alone, and the price is an error. These figures show how large that error is for each feature map φ, what it depends on,
and, where runs and benchmarks were given, what it means for learning, time and memory.</p>
<dl>
<dt>features</dt><dd>Numbers in φ(q). Time and memory grow with them, and the error falls as a rule.</dd>
<dt>relative squared error</dt><dd>The squared error over the mean square of what is estimated: 0.01 is a hundredth of it,
and 1 is the error of an output of zeros. Axes of errors are logarithmic.</dd>
<dt>std</dt><dd>The standard deviation of the entries of queries and keys, which are normal. The larger it is, the sharper is
attention, and the harder to estimate.</dd>
<dt>rows</dt><dd>The random vectors that features project on: independent (iid), or orthogonal to each other.</dd>
</dl>`;

const style = `
body { font: 16px/1.55 Helvetica, Arial, sans-serif; max-width: 1080px; margin: 2.5em auto; padding: 0 1.2em; color: #222; background: white }
h1 { font-size: 1.8em; line-height: 1.25; margin-bottom: .3em } h2 { font-size: 1.25em; line-height: 1.3; margin: 0 0 .4em }
p, dl, nav, figcaption { max-width: 46em } .from { color: #666; max-width: none }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3em 1.2em; margin: 1.2em 0 } dt { font-weight: bold } dd { margin: 0 }
figure { margin: 0; padding: 2.2em 0 1em; border-top: 1px solid #ddd; break-inside: avoid } svg { max-width: 100%; height: auto }
.narrow { display: none } .scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 14px; margin: .8em 0 } th, td { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left } code { font-size: .92em; overflow-wrap: anywhere } .made { color: #666; font-size: .88em }
nav ul { padding-left: 1.2em } nav li { margin: .25em 0 } a { color: #0059a0 }
@media (max-width: 700px) {
  body { margin: 1em auto; padding: 0 1em } .wide { display: none } .narrow { display: block }
  h1 { font-size: 1.5em } dl { display: block } dd { margin: 0 0 .6em }
}
@media print { body { margin: 0; max-width: none; font-size: 11px } nav { display: none } figure { page-break-inside: avoid } }
`;

export function reportPage(figures: readonly Figure[], { command, machine, date }: PageOptions): string {
  const links = figures.map(({ name, title }) => `<li><a href="#${name}">${escapeHtml(title)}</a></li>`).join('\n');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Performer for TypeScript: report</title><style>${style}</style></head>
<body>
<h1>Performer for TypeScript: what random features do to attention</h1>
<p class="from">Every figure comes from runs on ${escapeHtml(machine)}, ${escapeHtml(date)}.</p>
${introduction}
<nav><ul>
${links}
</ul></nav>
${figures.map((figure) => section(figure, command(figure))).join('\n')}
</body>
</html>
`;
}

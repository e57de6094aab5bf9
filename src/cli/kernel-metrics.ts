/** What was measured, as text and as JSON. */
import type { Metrics, TableNames } from '../machines/index.js';
import { alignedLines, formatCount } from './format.js';

/** Classes of which the table of counts is shown; wider ones do not fit on a line. */
const widest = 12;

export function metricsText(metrics: Metrics, { targets, classes = [] }: TableNames): string {
  if (metrics.task === 'regression') {
    return metrics.outputs
      .map(({ rootMeanSquare, determination }, index) => {
        const share = Number.isNaN(determination) ? '' : `, R² ${determination.toFixed(4)}`;
        return `${targets[index]}: root mean squared error ${rootMeanSquare.toPrecision(5)}${share}\n`;
      })
      .join('');
  }
  const { accuracy, rows, confusion } = metrics;
  const right = confusion.reduce((count, row, index) => count + (row[index] ?? 0), 0);
  const headline = `accuracy ${(100 * accuracy).toFixed(2)} % (${formatCount(right)} of ${formatCount(rows)})`;
  const isNarrow = classes.length <= widest;
  const header = ['class', 'rows', 'right', ...(isNarrow ? classes.map((name) => `as ${name}`) : [])];
  const table = classes.map((name, index) => {
    const row = confusion[index] ?? [];
    const total = row.reduce((a, b) => a + b, 0);
    return [name, total, row[index] ?? 0, ...(isNarrow ? row : [])].map(String);
  });
  table.sort(([left = ''], [right = '']) => left.localeCompare(right, 'en', { numeric: true }));
  return `${[headline, ...alignedLines([header, ...table])].join('\n')}\n`;
}

export function metricsJson(metrics: Metrics, { targets, classes }: TableNames): string {
  const named =
    metrics.task === 'regression'
      ? { ...metrics, outputs: metrics.outputs.map((output, index) => ({ target: targets[index], ...output })) }
      : { ...metrics, classes };
  return `${JSON.stringify(named)}\n`;
}

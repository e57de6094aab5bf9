/** The loss by position that `performer compare` measured: how far each model reads. */
import type { Figure, FigureMaker, Table } from '../figure.js';
import { linePlot } from '../plot.js';
import { csvRows, readPart } from './curves.js';

/** Targets of which a mean is worth a point: those of the first tokens of a text are few. */
const fewest = 128;

/** The loss of the targets from `from` to `to` in a window, or in the whole text where the reading is one stream. */
export interface PositionLoss {
  readonly variant: string;
  readonly reading: string;
  readonly from: number;
  readonly to: number;
  readonly loss: number;
}

/** The means over the seeds, of what `performer compare` writes to positions.csv; few targets tell nothing and are left out. */
export function positionLosses(text: string): readonly PositionLoss[] {
  const found = new Map<string, PositionLoss & { total: number; count: number }>();
  for (const [variant, , window, ...numbers] of csvRows(text) as [string, string, string, ...string[]][]) {
    const [from, to, targets, loss] = numbers.map(Number) as [number, number, number, number];
    const reading = window === 'stream' ? 'as one stream' : `in windows of ${Number(window).toLocaleString('en-US')}`;
    const key = JSON.stringify([variant, reading, from]);
    const { total, count } = found.get(key) ?? { total: 0, count: 0 };
    const sums = { total: total + loss * targets, count: count + targets };
    found.set(key, { variant, reading, from, to, ...sums, loss: sums.total / sums.count });
  }
  return [...found.values()].flatMap(({ total: _, count, ...row }) => (count < fewest ? [] : [row]));
}

/** A row for each variant and reading, and the losses of its last octaves. */
function lastOctaves(rows: readonly PositionLoss[]): Table {
  const readings = [...new Set(rows.map(({ reading }) => reading))];
  const variants = [...new Set(rows.map(({ variant }) => variant))];
  const cell = (variant: string, reading: string) => {
    const last = rows.filter((row) => row.variant === variant && row.reading === reading).at(-1);
    return last === undefined ? '–' : `${last.loss.toFixed(3)} (from ${last.from.toLocaleString('en-US')} on)`;
  };
  return {
    columns: ['the last octave', ...readings],
    rows: variants.map((variant) => [variant, ...readings.map((reading) => cell(variant, reading))]),
  };
}

/** Makes the figure from the folder of a comparison. Throws DATA for another folder. */
export function positionsFigure(folder: string): FigureMaker {
  return {
    name: 'positions',
    async make(): Promise<Figure> {
      const rows = positionLosses(await readPart(folder, 'positions.csv'));
      return {
        name: this.name,
        title: 'The loss by position',
        caption:
          'The loss in nats a token on held-out text, by how many tokens of the window, or of the whole stream, came before: a mean ' +
          `over each octave, where it has ${fewest} targets. A model that reads on has a line that falls or stays; one that rises is lost ` +
          'beyond what it was trained on. What cannot carry its state has no line as one stream.',
        drawing: await linePlot({
          rows,
          x: { field: 'to', title: 'position', isLog: true, format: ',d' },
          y: { field: 'loss', title: 'loss (nats a token)', isLog: true },
          series: { field: 'variant', title: 'model' },
          wrap: { field: 'reading', columns: 2 },
          width: 340,
          height: 240,
        }),
        table: lastOctaves(rows),
        rows,
      };
    },
  };
}

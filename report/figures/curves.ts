/** The learning curves and the ranking of `performer compare`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { messageOf, PerformerError } from '../../src/base/errors.js';
import type { Figure, FigureMaker, Table } from '../figure.js';
import { linePlot } from '../plot.js';

/** Steps whose mean is one point of a training curve. */
const smoothing = 25;

/** Kernels of a panel: more lines are hard to tell apart. */
const panelKernels = 6;

/** The rows of CSV below its head. */
export function csvRows(text: string): readonly string[][] {
  return parse(text, { from_line: 2 });
}

export interface CurveMean {
  readonly kernel: string;
  /** The last of its steps: a run may end within a bin. */
  readonly step: number;
  readonly loss: number;
}

/** The means of the training losses, of what `performer compare` writes to curves.csv. */
export function curveMeans(text: string): readonly CurveMean[] {
  const bins = new Map<string, { kernel: string; step: number; total: number; count: number }>();
  for (const [kernel, , kind, typed, loss] of csvRows(text) as [string, string, string, string, string][]) {
    if (kind !== 'train') continue;
    const step = Number(typed);
    const key = `${kernel},${Math.ceil(step / smoothing)}`;
    const bin = bins.get(key) ?? { kernel, step, total: 0, count: 0 };
    bins.set(key, { kernel, step: Math.max(bin.step, step), total: bin.total + Number(loss), count: bin.count + 1 });
  }
  return [...bins.values()].map(({ kernel, step, total, count }) => ({ kernel, step, loss: total / count }));
}

/** The ranking, a table of Markdown, with the kernels in the first column. */
export function rankingOf(markdown: string): Table {
  const cells = markdown
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^[|:\s-]*$/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [columns = [], ...rows] = cells.map(([rank = '', kernel = '', ...rest]) => [kernel, rank, ...rest]);
  return { columns, rows };
}

/** A file of a comparison as text. Throws DATA where it is not there. */
export async function readPart(folder: string, name: string): Promise<string> {
  try {
    return await readFile(join(folder, name), 'utf8');
  } catch (cause) {
    throw new PerformerError(
      'DATA',
      `expected --compare FOLDER of performer compare, got ${folder} without ${name}: ${messageOf(cause)}.`,
      { cause },
    );
  }
}

/** Makes the figure from the folder of a comparison. Throws DATA for another folder. */
export function curvesFigure(folder: string): FigureMaker {
  return {
    name: 'curves',
    async make(): Promise<Figure> {
      const means = curveMeans(await readPart(folder, 'curves.csv'));
      const table = rankingOf(await readPart(folder, 'ranking.md'));
      const ranked = table.rows.map(([kernel]) => kernel as string);
      const kernels = [...new Set([...ranked, ...means.map(({ kernel }) => kernel)])];
      const panelOf = (kernel: string) => {
        const first = Math.floor(kernels.indexOf(kernel) / panelKernels) * panelKernels;
        return `ranks ${first + 1} to ${Math.min(first + panelKernels, kernels.length)}`;
      };
      const rows = kernels.flatMap((name) =>
        means.filter(({ kernel }) => kernel === name).map((row) => ({ ...row, panel: panelOf(name) })),
      );
      return {
        name: this.name,
        title: 'Kernels compared by training',
        caption:
          `The training loss in nats a token against the steps, the mean over the seeds and over ${smoothing} steps; a line ends where ` +
          `its run ended. The table ranks the kernels by the loss on held-out text.`,
        drawing: await linePlot({
          rows,
          x: { field: 'step', title: 'step' },
          y: { field: 'loss', title: 'loss (nats a token)' },
          series: { field: 'kernel', title: 'kernel' },
          ...(kernels.length > panelKernels ? { wrap: { field: 'panel', columns: 2 } } : {}),
          width: kernels.length > panelKernels ? 340 : 520,
          height: 320,
          isDense: true,
        }),
        table,
        rows: means,
      };
    },
  };
}

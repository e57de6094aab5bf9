/** The learning curves and the ranking of `performer compare`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Figure, FigureMaker } from '../figure.js';
import { linePlot } from '../plot.js';

/** Steps whose mean is one point of a training curve. */
const smoothing = 25;

/** Makes the figure from the folder of a comparison. */
export function curvesFigure(folder: string): FigureMaker {
  return {
    name: 'curves',
    async make(): Promise<Figure> {
      const text = await readFile(join(folder, 'curves.csv'), 'utf8');
      const sums = new Map<string, { kernel: string; step: number; total: number; count: number }>();
      for (const line of text.trim().split('\n').slice(1)) {
        const [kernel, , kind, step, loss] = line.split(',') as [string, string, string, string, string];
        if (kind !== 'train') continue;
        const bin = Math.ceil(Number(step) / smoothing) * smoothing;
        const key = `${kernel},${bin}`;
        const entry = sums.get(key) ?? { kernel, step: bin, total: 0, count: 0 };
        sums.set(key, { ...entry, total: entry.total + Number(loss), count: entry.count + 1 });
      }
      const rows = [...sums.values()].map(({ kernel, step, total, count }) => ({ kernel, step, loss: total / count }));
      const ranking = await readFile(join(folder, 'ranking.md'), 'utf8');
      return {
        name: this.name,
        title: 'Kernels compared by training',
        caption: `Training loss in nats a byte, the mean over the seeds and over ${smoothing} steps. The ranking by held-out loss:\n${ranking}`,
        svg: await linePlot({
          rows,
          x: { field: 'step', title: 'step' },
          y: { field: 'loss', title: 'loss (nats a byte)' },
          series: { field: 'kernel', title: 'kernel' },
          width: 520,
          height: 340,
          isDense: true,
        }),
        rows,
      };
    },
  };
}

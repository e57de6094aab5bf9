/** The loss that `performer compare` measured on held-out text, by the time that the training had taken. */
import type { Figure, FigureMaker, Table } from '../figure.js';
import { linePlot } from '../plot.js';
import { csvRows, readPart } from './curves.js';

/** A mean over the seeds. */
export interface TimeLoss {
  readonly variant: string;
  readonly step: number;
  /** Of so many steps, each of the median length. */
  readonly seconds: number;
  readonly loss: number;
}

/**
 * The evaluations in what `performer compare` writes to curves.csv, with the seconds of a step of each variant: its median, so
 * that neither evaluations nor what else the machine did count.
 */
export function timeLosses(text: string, stepSeconds: ReadonlyMap<string, number>): readonly TimeLoss[] {
  const found = new Map<string, { variant: string; step: number; total: number; count: number }>();
  for (const [variant, , kind, typed, loss] of csvRows(text) as [string, string, string, string, string][]) {
    if (kind !== 'held out') continue;
    const step = Number(typed);
    const key = JSON.stringify([variant, step]);
    const { total, count } = found.get(key) ?? { total: 0, count: 0 };
    found.set(key, { variant, step, total: total + Number(loss), count: count + 1 });
  }
  return [...found.values()].map(({ variant, step, total, count }) => ({
    ...{ variant, step },
    seconds: step * (stepSeconds.get(variant) ?? Number.NaN),
    loss: total / count,
  }));
}

/** The loss of each variant at the moment at which the first of them ended: between two evaluations, on a line. */
export function atEqualTime(rows: readonly TimeLoss[]): Table {
  const variants = [...new Set(rows.map(({ variant }) => variant))];
  const of = (name: string) => rows.filter(({ variant }) => variant === name);
  const end = Math.min(...variants.map((variant) => Math.max(...of(variant).map(({ seconds }) => seconds))));
  const lossAt = (variant: string) => {
    const own = of(variant);
    const after = own.findIndex(({ seconds }) => seconds >= end * (1 - 1e-9));
    const [right, left] = [own[after]!, own[after - 1]];
    if (left === undefined) return right.loss;
    const part = (end - left.seconds) / (right.seconds - left.seconds);
    return left.loss + Math.min(1, part) * (right.loss - left.loss);
  };
  return {
    columns: ['model', 'seconds a step', `loss after ${end.toFixed(0)} s`, 'loss at the end'],
    rows: variants.map((variant) => {
      const last = of(variant).at(-1)!;
      return [variant, (last.seconds / last.step).toFixed(3), lossAt(variant).toFixed(3), last.loss.toFixed(3)];
    }),
  };
}

/** Makes the figure from the folder of a comparison. Throws DATA for another folder. */
export function timesFigure(folder: string): FigureMaker {
  return {
    name: 'times',
    async make(): Promise<Figure> {
      const { ranking } = JSON.parse(await readPart(folder, 'results.json')) as {
        readonly ranking: readonly { readonly variant: string; readonly stepSeconds: number }[];
      };
      const steps = new Map(ranking.map(({ variant, stepSeconds }) => [variant, stepSeconds]));
      const rows = timeLosses(await readPart(folder, 'curves.csv'), steps);
      return {
        name: this.name,
        title: 'The loss by time',
        caption:
          'The loss in nats a token on held-out text, by the time that the steps had taken, each as long as the median of its model. ' +
          'A line ends where its run ended. The table has the losses at the moment at which the first of them did.',
        drawing: await linePlot({
          rows,
          x: { field: 'seconds', title: 'seconds of training', format: ',f' },
          y: { field: 'loss', title: 'loss (nats a token)', isLog: true },
          series: { field: 'variant', title: 'model' },
          width: 520,
          height: 320,
        }),
        table: atEqualTime(rows),
        rows,
      };
    },
  };
}

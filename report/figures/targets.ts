/** Every benchmark that has a target, relative to it. */
import { type Bound, boundOf, type JsonRow } from '../../bench/report.js';
import type { Figure, FigureMaker } from '../figure.js';
import { barPlot } from '../plot.js';

/** How many times better than a bound: 1 is the bound itself. Of two bounds, the nearer. */
export function marginOf(value: number, { atLeast, atMost }: Bound): number {
  return Math.min(
    atLeast === undefined ? Number.POSITIVE_INFINITY : value / atLeast,
    atMost === undefined ? Number.POSITIVE_INFINITY : atMost / value,
  );
}

export interface TargetRow {
  readonly name: string;
  readonly target: string;
  readonly measured: number;
  readonly margin: number;
  readonly result: string;
}

const results = ['met', 'not met', 'stretch goal met', 'stretch goal not met'];

/** The rows that have a target: on the ratio, or on the figure where nothing is compared. */
export function targetRows(rows: readonly JsonRow[]): readonly TargetRow[] {
  return rows.flatMap(({ benchmark, parameters, ratio, ours, target, kind, met }) => {
    const measured = ratio ?? ours;
    const bound = target === null ? undefined : boundOf(target);
    if (measured === null || target === null || bound === undefined) return [];
    return [
      {
        name: `${benchmark}: ${parameters}`,
        target,
        measured,
        margin: marginOf(measured, bound),
        result: `${kind === 'stretch' ? 'stretch goal ' : ''}${met ? 'met' : 'not met'}`,
      },
    ];
  });
}

export function targetsFigure(rows: readonly TargetRow[]): FigureMaker {
  return {
    name: 'targets',
    async make(): Promise<Figure> {
      return {
        name: this.name,
        title: 'Benchmarks against their targets',
        caption:
          'Each row of the benchmarks that has a target, as how many times better than the target it is: the ratio over a lower ' +
          'bound, or an upper bound over the ratio. Points to the right of the line meet theirs.',
        drawing: await barPlot({
          rows,
          name: { field: 'name', title: '', limit: 520 },
          x: { field: 'margin', title: 'times better than the target', isLog: true },
          series: { field: 'result', title: 'target', domain: results },
          rule: 1,
          width: 340,
        }),
        table: {
          columns: ['benchmark', 'measured', 'target', ''],
          rows: rows.map(({ name, measured, target, result }) => [name, measured.toPrecision(3), target, result]),
        },
        rows,
      };
    },
  };
}

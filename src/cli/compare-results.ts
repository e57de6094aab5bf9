/** The outcome of a comparison: a ranked table, and the learning curves that it comes from. */
import type { CurvePoint } from './loss-curve.js';

/** One run: a kernel with a seed. */
export interface ComparedRun {
  readonly kernel: string;
  readonly seed: number;
  /** Steps done, and in all. */
  readonly step: number;
  readonly steps: number;
  readonly parameters: number;
  /** The number of features; absent for exact attention. */
  readonly features?: number;
  /** The median over the steps. */
  readonly tokensPerSecond: number;
  /** Nats a token on the held-out text, at each evaluation. */
  readonly heldOut: readonly CurvePoint[];
  readonly train: readonly CurvePoint[];
}

export interface RankedKernel {
  readonly kernel: string;
  readonly runs: number;
  /** The mean over the seeds of the loss at the last evaluation, in nats a byte, and its standard deviation. */
  readonly loss: number;
  readonly deviation: number | undefined;
  readonly best: number;
  readonly worst: number;
  readonly tokensPerSecond: number;
  readonly features?: number;
  readonly parameters: number;
  readonly steps: number;
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** √(Σ(x − mean)²/(n − 1)); undefined for one value. */
function deviationOf(values: readonly number[]): number | undefined {
  if (values.length < 2) return undefined;
  const middle = mean(values);
  return Math.sqrt(values.reduce((total, value) => total + (value - middle) ** 2, 0) / (values.length - 1));
}

/** The kernels by loss, least first, over the runs that were evaluated at least once. */
export function rankKernels(runs: readonly ComparedRun[]): readonly RankedKernel[] {
  const evaluated = runs.filter(({ heldOut }) => heldOut.length > 0);
  const names = [...new Set(evaluated.map(({ kernel }) => kernel))];
  return names
    .map((kernel): RankedKernel => {
      const own = evaluated.filter((run) => run.kernel === kernel);
      const [first] = own as [ComparedRun, ...ComparedRun[]];
      const losses = own.map(({ heldOut }) => (heldOut.at(-1) as CurvePoint).loss);
      return {
        kernel,
        runs: own.length,
        loss: mean(losses),
        deviation: deviationOf(losses),
        best: Math.min(...losses),
        worst: Math.max(...losses),
        tokensPerSecond: mean(own.map(({ tokensPerSecond }) => tokensPerSecond)),
        ...(first.features === undefined ? {} : { features: first.features }),
        parameters: first.parameters,
        steps: first.steps,
      };
    })
    .sort((a, b) => a.loss - b.loss);
}

/** The ranking as a table of Markdown, which reads well in a terminal too. */
export function rankingTable(ranked: readonly RankedKernel[]): string {
  const least = ranked[0]?.loss ?? 0;
  const rows = ranked.map((each, at) => [
    String(at + 1),
    each.kernel,
    each.loss.toFixed(4),
    each.deviation === undefined ? '' : each.deviation.toFixed(4),
    `${each.best.toFixed(4)} – ${each.worst.toFixed(4)}`,
    `+${(each.loss - least).toFixed(4)}`,
    (each.loss / Math.LN2).toFixed(3),
    each.features === undefined ? '' : String(each.features),
    String(Math.round(each.tokensPerSecond)),
    String(each.steps),
    String(each.runs),
  ]);
  const head = [
    'rank',
    'kernel',
    'loss',
    '± sd',
    'range',
    'behind',
    'bits/byte',
    'features',
    'tokens/s',
    'steps',
    'runs',
  ];
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => (column === 1 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (column === 1 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** The learning curves as CSV: one line for each step and each evaluation. */
export function curvesCsv(runs: readonly ComparedRun[]): string {
  const lines = runs.flatMap(({ kernel, seed, train, heldOut }) =>
    [...train.map((point) => ['train', point] as const), ...heldOut.map((point) => ['held out', point] as const)].map(
      ([kind, { step, loss }]) => [kernel, seed, kind, step, loss].join(','),
    ),
  );
  return ['kernel,seed,kind,step,loss', ...lines, ''].join('\n');
}

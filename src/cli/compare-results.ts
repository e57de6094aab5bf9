/** The outcome of a comparison: a ranked table, and the learning curves that it comes from. */
import { bitsPerByte } from './format.js';
import type { CurvePoint } from './loss-curve.js';

/** One run: a kernel with a seed. */
export interface ComparedRun {
  readonly kernel: string;
  readonly seed: number;
  /** Steps done, and in all. */
  readonly step: number;
  readonly steps: number;
  /** Whether the loss was no longer finite, which ended the run. */
  readonly isDiverged: boolean;
  readonly parameters: number;
  /** The number of features; absent where there is no feature map. */
  readonly features?: number | undefined;
  /** The mean of the held-out text. */
  readonly bytesPerToken: number;
  /** The median over the steps. */
  readonly tokensPerSecond: number;
  /** Nats a token on the held-out text, at each evaluation. */
  readonly heldOut: readonly CurvePoint[];
  readonly train: readonly CurvePoint[];
}

export interface RankedKernel {
  readonly kernel: string;
  /** Those that did not diverge, and those that did. */
  readonly runs: number;
  readonly diverged: number;
  /**
   * The mean over the former of the loss at the last evaluation, in nats a token, and its standard deviation. Where all
   * diverged it is infinite, as the best and the worst are, and null in JSON.
   */
  readonly loss: number;
  readonly deviation: number | undefined;
  readonly best: number;
  readonly worst: number;
  readonly tokensPerSecond: number;
  readonly features?: number | undefined;
  readonly bytesPerToken: number;
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

/** The kernels by how many of their runs diverged and then by loss, least first; runs not evaluated yet do not count. */
export function rankKernels(runs: readonly ComparedRun[]): readonly RankedKernel[] {
  const told = runs.filter(({ heldOut, isDiverged }) => isDiverged || heldOut.length > 0);
  const names = [...new Set(told.map(({ kernel }) => kernel))];
  return names
    .map((kernel): RankedKernel => {
      const own = told.filter((run) => run.kernel === kernel);
      const [first] = own as [ComparedRun, ...ComparedRun[]];
      const whole = own.filter(({ isDiverged }) => !isDiverged);
      const losses = whole.map(({ heldOut }) => (heldOut.at(-1) as CurvePoint).loss);
      return {
        kernel,
        runs: whole.length,
        diverged: own.length - whole.length,
        loss: losses.length === 0 ? Number.POSITIVE_INFINITY : mean(losses),
        deviation: deviationOf(losses),
        best: Math.min(...losses),
        worst: Math.max(...losses),
        tokensPerSecond: mean(whole.map(({ tokensPerSecond }) => tokensPerSecond)),
        features: first.features,
        bytesPerToken: first.bytesPerToken,
        parameters: first.parameters,
        steps: first.steps,
      };
    })
    .sort((a, b) => a.diverged - b.diverged || a.loss - b.loss);
}

function lossCells({ loss, deviation, best, worst, bytesPerToken }: RankedKernel, least: number): string[] {
  return [
    loss.toFixed(4),
    deviation === undefined ? '' : deviation.toFixed(4),
    `${best.toFixed(4)} – ${worst.toFixed(4)}`,
    `+${(loss - least).toFixed(4)}`,
    bitsPerByte(loss, bytesPerToken).toFixed(3),
  ];
}

/** The ranking as a table of Markdown, which reads well in a terminal too. */
export function rankingTable(ranked: readonly RankedKernel[]): string {
  const least = ranked[0]?.loss ?? 0;
  const rows = ranked.map((each, at) => [
    String(at + 1),
    each.kernel,
    ...(each.runs === 0 ? ['diverged', '', '', '', ''] : lossCells(each, least)),
    each.features === undefined ? '' : String(each.features),
    each.runs === 0 ? '' : String(Math.round(each.tokensPerSecond)),
    String(each.steps),
    each.diverged === 0 ? String(each.runs) : `${each.runs}, ${each.diverged} diverged`,
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

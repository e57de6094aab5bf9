/** The outcome of a comparison: a ranked table, learning curves, and losses by position. */
import * as z from 'zod';
import { csvLine } from './csv-line.js';
import { bitsPerByte, formatCount } from './format.js';
import type { CurvePoint } from './loss-curve.js';

const octaveSchema = z.strictObject({ from: z.number(), to: z.number(), targets: z.number(), loss: z.number() });
const readingSchema = z.strictObject({ loss: z.number(), byPosition: z.array(octaveSchema) });

/** What is kept of a run that is done. */
export const runResultSchema = z.strictObject({
  variant: z.string(),
  seed: z.number(),
  /** Steps done, and in all. */
  step: z.number(),
  steps: z.number(),
  /** Whether the loss was no longer finite, which ended the run. */
  isDiverged: z.boolean(),
  parameters: z.number(),
  /** The number of features; absent where there is no feature map. */
  features: z.number().optional(),
  /** The mean of the held-out text. */
  bytesPerToken: z.number(),
  /** At the median step. */
  tokensPerSecond: z.number().nullable(),
  /** Of the median step, and of all steps. */
  stepSeconds: z.number().nullable(),
  seconds: z.number(),
  /** Of the state after the longest window that was read. */
  stateBytes: z.number(),
  /** Tokens of a window of its training. */
  window: z.number(),
  /** How the trained model reads the held-out text, in nats a token; once it is trained. */
  lengths: z.array(readingSchema.extend({ window: z.number() })).optional(),
  stream: readingSchema.optional(),
});

export type RunResult = z.output<typeof runResultSchema>;

/** One run: a variant with a seed. */
export interface ComparedRun extends RunResult {
  /** Nats a token on the held-out text, at each evaluation. */
  readonly heldOut: readonly CurvePoint[];
  readonly train: readonly CurvePoint[];
}

export interface RankedVariant {
  readonly variant: string;
  /** Those that did not diverge, and those that did. */
  readonly runs: number;
  readonly diverged: number;
  /**
   * The mean over the former of the loss in windows of the training, or else at the last evaluation, in nats a token, and its
   * standard deviation. Where all diverged it is infinite, as the best and the worst are, and null in JSON.
   */
  readonly loss: number;
  readonly deviation: number | undefined;
  readonly best: number;
  readonly worst: number;
  /** The mean loss of each length of windows that all runs were read in, and its deviation. */
  readonly lengths: readonly {
    readonly window: number;
    readonly loss: number;
    readonly deviation?: number | undefined;
  }[];
  /** The same of one stream, where the model can be read so. */
  readonly stream?: { readonly loss: number; readonly deviation?: number | undefined } | undefined;
  readonly tokensPerSecond: number;
  readonly stepSeconds: number;
  readonly seconds: number;
  readonly stateBytes: number;
  readonly features?: number | undefined;
  readonly bytesPerToken: number;
  readonly parameters: number;
  readonly steps: number;
}

function mean(values: readonly (number | null)[]): number {
  return values.reduce<number>((a, b) => a + (b ?? Number.NaN), 0) / values.length;
}

/** √(Σ(x − mean)²/(n − 1)); undefined for one value. */
function deviationOf(values: readonly number[]): number | undefined {
  if (values.length < 2) return undefined;
  const middle = mean(values);
  return Math.sqrt(values.reduce((total, value) => total + (value - middle) ** 2, 0) / (values.length - 1));
}

function spread(values: readonly number[]) {
  return { loss: mean(values), deviation: deviationOf(values) };
}

/** The loss by which a run is ranked. */
function lossOf({ lengths, window, heldOut }: ComparedRun): number {
  return (lengths?.find((reading) => reading.window === window) ?? (heldOut.at(-1) as CurvePoint)).loss;
}

/** The lengths that every run was read in, and the means of their losses. */
function meanLengths(runs: readonly ComparedRun[]): RankedVariant['lengths'] {
  const [first = [], ...others] = runs.map(({ lengths }) => lengths ?? []);
  return first.flatMap(({ window, loss }) => {
    const found = others.map((lengths) => lengths.find((reading) => reading.window === window)?.loss);
    const losses = found.filter((own) => own !== undefined);
    return losses.length < others.length ? [] : [{ window, ...spread([loss, ...losses]) }];
  });
}

/** The variants by how many of their runs diverged and then by loss, least first; runs not evaluated yet do not count. */
export function rankVariants(runs: readonly ComparedRun[]): readonly RankedVariant[] {
  const told = runs.filter(({ heldOut, isDiverged }) => isDiverged || heldOut.length > 0);
  const names = [...new Set(told.map(({ variant }) => variant))];
  return names
    .map((variant): RankedVariant => {
      const own = told.filter((run) => run.variant === variant);
      const [first] = own as [ComparedRun, ...ComparedRun[]];
      const whole = own.filter(({ isDiverged }) => !isDiverged);
      const losses = whole.map(lossOf);
      const streams = whole.flatMap(({ stream }) => (stream === undefined ? [] : [stream.loss]));
      return {
        variant,
        runs: whole.length,
        diverged: own.length - whole.length,
        loss: losses.length === 0 ? Number.POSITIVE_INFINITY : mean(losses),
        deviation: deviationOf(losses),
        best: Math.min(...losses),
        worst: Math.max(...losses),
        lengths: meanLengths(whole),
        stream: streams.length > 0 && streams.length === whole.length ? spread(streams) : undefined,
        tokensPerSecond: mean(whole.map(({ tokensPerSecond }) => tokensPerSecond)),
        stepSeconds: mean(whole.map(({ stepSeconds }) => stepSeconds)),
        seconds: mean(whole.map(({ seconds }) => seconds)),
        stateBytes: first.stateBytes,
        features: first.features,
        bytesPerToken: first.bytesPerToken,
        parameters: first.parameters,
        steps: first.steps,
      };
    })
    .sort((a, b) => a.diverged - b.diverged || a.loss - b.loss);
}

function lossCells({ loss, deviation, best, worst, bytesPerToken }: RankedVariant, least: number): string[] {
  return [
    loss.toFixed(4),
    deviation === undefined ? '' : deviation.toFixed(4),
    `${best.toFixed(4)} – ${worst.toFixed(4)}`,
    `+${(loss - least).toFixed(4)}`,
    bitsPerByte(loss, bytesPerToken).toFixed(3),
  ];
}

function speedCells({ tokensPerSecond, stepSeconds, seconds }: RankedVariant): string[] {
  return [String(Math.round(tokensPerSecond)), (1000 * stepSeconds).toFixed(1), (seconds / 60).toFixed(2)];
}

/** The ranking as a table of Markdown, which reads well in a terminal too. */
export function rankingTable(ranked: readonly RankedVariant[]): string {
  const least = ranked[0]?.loss ?? 0;
  const windows = [...new Set(ranked.flatMap(({ lengths }) => lengths.map(({ window }) => window)))];
  windows.sort((a, b) => a - b);
  const rows = ranked.map((each, at) => [
    String(at + 1),
    each.variant,
    ...(each.runs === 0 ? ['diverged', '', '', '', ''] : lossCells(each, least)),
    ...windows.map((window) => each.lengths.find((own) => own.window === window)?.loss.toFixed(4) ?? ''),
    each.stream?.loss.toFixed(4) ?? '',
    each.features === undefined ? '' : String(each.features),
    ...(each.runs === 0 ? ['', '', ''] : speedCells(each)),
    formatCount(each.stateBytes / 1024),
    String(each.steps),
    each.diverged === 0 ? String(each.runs) : `${each.runs}, ${each.diverged} diverged`,
  ]);
  const head = [
    ...['rank', 'variant', 'loss', '± sd', 'range', 'behind', 'bits/byte'],
    ...windows.map((window) => `at ${formatCount(window)}`),
    ...['one text', 'features', 'tokens/s', 'ms/step', 'minutes', 'state KiB', 'steps', 'runs'],
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
  const lines = runs.flatMap(({ variant, seed, train, heldOut }) =>
    [...train.map((point) => ['train', point] as const), ...heldOut.map((point) => ['held out', point] as const)].map(
      ([kind, { step, loss }]) => csvLine([variant, seed, kind, step, loss].map(String)),
    ),
  );
  return ['variant,seed,kind,step,loss\n', ...lines].join('');
}

/** The losses by position as CSV: one line for each octave of each reading of a run. */
export function positionsCsv(runs: readonly ComparedRun[]): string {
  const lines = runs.flatMap(({ variant, seed, lengths = [], stream }) =>
    [...lengths, ...(stream === undefined ? [] : [{ window: 'stream', ...stream }])].flatMap(({ window, byPosition }) =>
      byPosition.map(({ from, to, targets, loss }) =>
        csvLine([variant, seed, window, from, to, targets, loss].map(String)),
      ),
    ),
  );
  return ['variant,seed,window,from,to,targets,loss\n', ...lines].join('');
}

/** What a benchmark reports: rows of a table, each with its target where it has one, and the same as JSON. */
import { readable } from '../src/measure/index.js';
import type { Timing } from './measure.js';

/** A lower or an upper bound on the ratio, or on the measured figure where there is no opponent. */
export interface Bound {
  readonly atLeast?: number;
  readonly atMost?: number;
  /** stretch: a goal to strive for, which may be missed. */
  readonly kind?: 'required' | 'stretch';
}

export interface Figures {
  readonly ours: number;
  /** Absent where nothing is compared. */
  readonly theirs?: number;
  readonly unit: string;
  /** Gigabytes, where memory is measured beside time. */
  readonly memory?: number;
}

/** How far the times behind a figure lie apart: (slowest − fastest)/median. */
export interface Spread {
  readonly ours: number;
  /** Null where nothing is compared. */
  readonly theirs: number | null;
}

export function spreadOf(ours: Timing, theirs?: Timing): Spread {
  const of = ({ fastest, slowest, median }: Timing) => (slowest - fastest) / median;
  return { ours: of(ours), theirs: theirs === undefined ? null : of(theirs) };
}

export interface Row {
  /** The parameters of the row. */
  readonly what: string;
  readonly value: string;
  readonly figures?: Figures;
  readonly spread?: Spread;
  /** The ratio to the named opponent, measured in the same run. */
  readonly ratio?: number;
  readonly opponent?: string;
  /** The target as text, and whether it was met. */
  readonly target?: string;
  readonly kind?: 'required' | 'stretch';
  readonly isMet?: boolean;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  /** A quick run uses small sizes: it shows that the benchmark works and measures nothing. */
  run(options: BenchmarkOptions): Promise<readonly Row[]>;
}

export interface BenchmarkOptions {
  readonly isQuick: boolean;
  /** The folder of a run whose model is measured, where a benchmark takes one. */
  readonly model?: string | undefined;
}

function meets(
  value: number,
  { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }: Bound,
): boolean {
  return value >= atLeast && value <= atMost;
}

function targetText({ atLeast, atMost, kind }: Bound): string {
  const range =
    atMost === undefined ? `≥ ${atLeast}` : atLeast === undefined ? `≤ ${atMost}` : `${atLeast} – ${atMost}`;
  return `${range}${kind === 'stretch' ? ' (stretch)' : ''}`;
}

/** The bound that a target's text tells; undefined where it tells none. */
export function boundOf(target: string): Bound | undefined {
  const [, sign, low, high] = /^(≥ |≤ |)([\d.e+-]+)(?: – ([\d.e+-]+))?(?: \(stretch\))?$/.exec(target) ?? [];
  if (low === undefined || (sign === '') !== (high !== undefined)) return undefined;
  const kind = target.endsWith(')') ? 'stretch' : 'required';
  if (high !== undefined) return { atLeast: Number(low), atMost: Number(high), kind };
  return sign === '≥ ' ? { atLeast: Number(low), kind } : { atMost: Number(low), kind };
}

/** A row with a target that is a lower or an upper bound on the ratio. */
export function bounded(row: Omit<Row, 'target' | 'isMet'> & { readonly ratio: number }, bound: Bound): Row {
  return { ...row, kind: bound.kind ?? 'required', target: targetText(bound), isMet: meets(row.ratio, bound) };
}

/** A figure of our own, with a bound on it where one is given. */
export function figure(what: string, ours: number, unit: string, bound?: Bound): Row {
  const row = { what, value: `${readable(ours)} ${unit}`, figures: { ours, unit } };
  if (bound === undefined) return row;
  return { ...row, kind: bound.kind ?? 'required', target: targetText(bound), isMet: meets(ours, bound) };
}

/** How a figure of ours stands to an opponent's. */
export interface Comparison {
  readonly what: string;
  readonly ours: number;
  readonly theirs: number;
  readonly unit: string;
  readonly opponent: string;
  readonly spread?: Spread;
  /** ours/theirs, for rates and for what should be small; or theirs/ours, for how many times faster we are. */
  readonly ratio: 'ours/theirs' | 'theirs/ours';
}

/** A row that compares, for each bound its own where there are several. */
export function comparison({ what, ours, theirs, unit, opponent, spread, ratio }: Comparison, bound?: Bound): Row {
  const row = {
    what,
    value: `${readable(ours)} ${unit} against ${readable(theirs)} ${unit}`,
    figures: { ours, theirs, unit },
    ...(spread === undefined ? {} : { spread }),
    ratio: ratio === 'ours/theirs' ? ours / theirs : theirs / ours,
    opponent,
  };
  return bound === undefined ? row : bounded(row, bound);
}

/** A row of what could not be measured: a target that it has is missed. */
export function failed(what: string, reason: string, bound?: Bound): Row {
  const row = { what, value: `failed: ${reason}` };
  return bound === undefined
    ? row
    : { ...row, kind: bound.kind ?? 'required', target: targetText(bound), isMet: false };
}

const percent = (share: number | null) => (share === null ? [] : [`${(100 * share).toFixed(0)} %`]);

export function formatRows(title: string, rows: readonly Row[]): string {
  const cells = rows.map(({ what, value, spread, ratio, opponent, target, isMet }) => [
    what,
    value,
    spread === undefined ? '' : [spread.ours, spread.theirs].flatMap(percent).join(', '),
    ratio === undefined ? '' : `${ratio.toPrecision(3)}${opponent === undefined ? '' : ` of ${opponent}`}`,
    target === undefined ? '' : `${target} ${isMet ? 'met' : 'NOT MET'}`,
  ]);
  const all = [['', 'measured', 'spread', 'ratio', 'target'], ...cells];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `\n${title}\n${lines.join('\n')}`;
}

/** One row as --json writes it; what does not apply is null. */
export interface JsonRow {
  readonly benchmark: string;
  readonly parameters: string;
  readonly opponent: string | null;
  readonly ours: number | null;
  readonly theirs: number | null;
  readonly unit: string | null;
  /** Gigabytes. */
  readonly memory: number | null;
  readonly spread: Spread | null;
  readonly ratio: number | null;
  readonly target: string | null;
  readonly kind: 'required' | 'stretch' | null;
  readonly met: boolean | null;
  /** The row as the table has it. */
  readonly text: string;
}

export function jsonRow(
  benchmark: string,
  { what, value, figures, spread, ratio, opponent, target, kind, isMet }: Row,
): JsonRow {
  return {
    benchmark,
    parameters: what,
    opponent: opponent ?? null,
    ours: figures?.ours ?? null,
    theirs: figures?.theirs ?? null,
    unit: figures?.unit ?? null,
    memory: figures?.memory ?? null,
    spread: spread ?? null,
    ratio: ratio ?? null,
    target: target ?? null,
    kind: target === undefined ? null : (kind ?? 'required'),
    met: isMet ?? null,
    text: value,
  };
}

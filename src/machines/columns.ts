/**
 * Mean and standard deviation of columns that are seen row by row, in float64.
 *
 * Each column is counted from its first value (x − x₀), with Welford's recurrence: a clock of 1.7e18 whose steps lie at
 * float64's rounding keeps its mean and its deviation, which sums of the values themselves would lose.
 */
import { PerformerError } from '../base/errors.js';

/** What is taken from each column, and what it is divided by. */
export interface Columns {
  readonly mean: Float64Array;
  /** 0 for a column that does not vary: it becomes 0 in every row, and so do other values that are met later. */
  readonly scale: Float64Array;
}

/** The value as the machine sees it. */
export function standardized(value: number, mean: number, scale: number): number {
  return scale === 0 ? 0 : (value - mean) / scale;
}

/** The columns with their offsets alone taken away. */
export function centredOnly({ mean }: Columns): Columns {
  return { mean, scale: new Float64Array(mean.length).fill(1) };
}

/** Weights carry the scale of the targets, in float32. */
const targetScales = [1e-30, 1e30] as const;

/** Throws DATA for a target whose standard deviation float32 weights cannot carry. */
export function expectTargetScales(where: string, { scale }: Columns): void {
  const [least, most] = targetScales;
  const column = scale.findIndex((deviation) => deviation !== 0 && !(deviation >= least && deviation <= most));
  if (column < 0) return;
  throw new PerformerError(
    'DATA',
    `${where}: expected targets with a standard deviation from ${least} to ${most}, got ${scale[column]} in column ` +
      `${column} (counted from 0). Scale the column.`,
  );
}

/** Float32 must keep this many steps of a column within one standard deviation. */
const leastSteps = 256;

/** The columns as they are. Throws DATA for one that float32 leaves too few steps, as of 128 at 1.7e9. */
export function untouched(where: string, { mean, scale }: Columns): Columns {
  scale.forEach((deviation, column) => {
    const step = Math.abs(mean[column] as number) * 2 ** -23;
    if (deviation === 0 || deviation >= leastSteps * step) return;
    throw new PerformerError(
      'DATA',
      `${where}: expected columns that float32 can hold, got a mean of ${mean[column]} with a standard deviation of ` +
        `${deviation} in column ${column} (counted from 0). Standardise, or take an offset away from the column.`,
    );
  });
  return centredOnly({ mean: new Float64Array(mean.length), scale });
}

export class RunningColumns {
  #count = 0;
  readonly #first: Float64Array;
  /** Of x − x₀. */
  readonly #mean: Float64Array;
  /** Sums of squared distances from the mean. */
  readonly squares: Float64Array;

  constructor(columns: number) {
    this.#first = new Float64Array(columns);
    this.#mean = new Float64Array(columns);
    this.squares = new Float64Array(columns);
  }

  /** Takes one row of `data`. */
  add(data: ArrayLike<number>, row: number): void {
    const columns = this.#mean.length;
    const isFirst = this.#count++ === 0;
    for (let column = 0; column < columns; column++) {
      const value = data[row * columns + column] as number;
      if (isFirst) this.#first[column] = value;
      const shifted = value - (this.#first[column] as number);
      const before = shifted - (this.#mean[column] as number);
      const mean = (this.#mean[column] as number) + before / this.#count;
      this.#mean[column] = mean;
      this.squares[column] = (this.squares[column] as number) + before * (shifted - mean);
    }
  }

  /** Throws DATA for a column whose variance is no number. */
  result(where: string, what: string): Columns {
    const mean = this.#mean.map((shifted, column) => shifted + (this.#first[column] as number));
    const scale = this.squares.map((total, column) => {
      const deviation = Math.sqrt(total / this.#count);
      if (!Number.isFinite(deviation)) {
        throw new PerformerError(
          'DATA',
          `${where}: expected ${what} whose variance is a number, got one too large in column ${column} ` +
            '(counted from 0). Scale it down.',
        );
      }
      // Values that differ in their last bit alone are one value and the rounding of what computed it.
      return deviation > Number.EPSILON * Math.abs(mean[column] as number) ? deviation : 0;
    });
    return { mean, scale };
  }
}

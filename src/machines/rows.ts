/** From the batches of a source to the rows that the engine takes: standardised in float64, gathered to one size. */
import { PerformerError } from '../base/errors.js';
import { type Columns, standardized } from './columns.js';
import type { SampleBatch, Task } from './samples.js';

/** Rows [rows, dim] and targets [rows, outputs], and the numbers of the first and the last one in the source. */
export interface GatheredRows {
  readonly inputs: Float32Array;
  readonly targets: Float32Array;
  readonly first: number;
  readonly last: number;
}

/** Rows on their way to the engine. The arrays are used again: read them before the next row is added. */
export class RowBuffer {
  readonly #inputs: Float32Array;
  readonly #targets: Float32Array;
  #rows = 0;
  #first = 0;
  #last = 0;

  constructor(
    private readonly capacity: number,
    private readonly task: Task,
    private readonly inputColumns: Columns,
    private readonly targetColumns: Columns,
  ) {
    this.#inputs = new Float32Array(capacity * inputColumns.mean.length);
    this.#targets = new Float32Array(capacity * targetColumns.mean.length);
  }

  get isFull(): boolean {
    return this.#rows === this.capacity;
  }

  get isEmpty(): boolean {
    return this.#rows === 0;
  }

  /** Adds a row of a batch that begins at row `first` of the source. Throws DATA for a value that float32 does not hold. */
  add(where: string, { inputs, targets, first }: SampleBatch & { readonly first: number }, row: number): void {
    this.#last = first + row;
    if (this.#rows === 0) this.#first = this.#last;
    standardizeRow(inputs.data, row, this.inputColumns, this.#inputs, this.#rows);
    const columns = this.inputColumns.mean.length;
    for (let column = 0; column < columns; column++) {
      if (Number.isFinite(this.#inputs[this.#rows * columns + column])) continue;
      throw new PerformerError(
        'DATA',
        `${where}: expected inputs that float32 can hold, got ${inputs.data[row * columns + column]} in row ` +
          `${this.#last}, column ${column} (counted from 0). Standardise the columns, or scale this one down.`,
      );
    }
    const { mean, scale } = this.targetColumns;
    if (this.task === 'classification') {
      for (let index = 0; index < mean.length; index++) {
        const value = index === (targets.data[row] as number) ? 1 : 0;
        this.#targets[this.#rows * mean.length + index] = standardized(value, mean[index]!, scale[index]!);
      }
    } else standardizeRow(targets.data, row, this.targetColumns, this.#targets, this.#rows);
    this.#rows++;
  }

  /** The rows that were added, [rows, dim] and [rows, outputs]; the buffer is empty then. */
  take(): GatheredRows {
    const rows = this.#rows;
    this.#rows = 0;
    return {
      inputs: this.#inputs.subarray(0, rows * this.inputColumns.mean.length),
      targets: this.#targets.subarray(0, rows * this.targetColumns.mean.length),
      first: this.#first,
      last: this.#last,
    };
  }
}

/** Row `row` of `data`, standardised, as row `at` of `into`. */
export function standardizeRow(
  data: ArrayLike<number>,
  row: number,
  { mean, scale }: Columns,
  into: Float32Array,
  at: number,
): void {
  const columns = mean.length;
  for (let column = 0; column < columns; column++) {
    into[at * columns + column] = standardized(data[row * columns + column]!, mean[column]!, scale[column]!);
  }
}

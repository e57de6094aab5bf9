/** From the batches of a source to the rows that the engine takes: standardised in float64, gathered to one size. */
import { type Columns, standardized } from './columns.js';
import type { SampleBatch, Task } from './samples.js';

/** Rows on their way to the engine. The arrays are used again: read them before the next row is added. */
export class RowBuffer {
  readonly #inputs: Float32Array;
  readonly #targets: Float32Array;
  #rows = 0;

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

  /** Adds a row of a batch. */
  add({ inputs, targets }: SampleBatch, row: number): void {
    standardizeRow(inputs.data, row, this.inputColumns, this.#inputs, this.#rows);
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
  take(): { readonly inputs: Float32Array; readonly targets: Float32Array } {
    const rows = this.#rows;
    this.#rows = 0;
    return {
      inputs: this.#inputs.subarray(0, rows * this.inputColumns.mean.length),
      targets: this.#targets.subarray(0, rows * this.targetColumns.mean.length),
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

/** Rows that are held out: chosen by their number and the seed, so that they are the same in every pass and for any batches. */
import type { Random } from '../base/random.js';
import type { SampleBatch, Samples } from './samples.js';

/** Whether a row is held out, for a part of all rows from 0 to 1. */
export function heldOutRows(random: Random, part: number): (row: number) => boolean {
  return part === 0 ? () => false : (row) => random.split(row).uniform() < part;
}

/** The rows of samples that are wanted, by number. */
export async function* filtered(samples: Samples, isWanted: (row: number) => boolean): AsyncGenerator<SampleBatch> {
  let first = 0;
  for await (const { inputs, targets } of samples) {
    const rows = Array.from({ length: inputs.shape[0] as number }, (_, row) => row);
    const wanted = rows.filter((row) => isWanted(first + row));
    first += rows.length;
    if (wanted.length > 0) yield { inputs: pickRows(inputs, wanted), targets: pickRows(targets, wanted) };
  }
}

function pickRows<T extends SampleBatch['inputs'] | SampleBatch['targets']>(tensor: T, rows: readonly number[]): T {
  const width = tensor.shape.length === 1 ? 1 : (tensor.shape[1] as number);
  const data = tensor.data.slice(0, rows.length * width);
  rows.forEach((row, at) => {
    data.set(tensor.data.subarray(row * width, (row + 1) * width), at * width);
  });
  return { ...tensor, shape: [rows.length, ...tensor.shape.slice(1)], data };
}

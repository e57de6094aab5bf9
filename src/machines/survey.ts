/**
 * The first pass over the data: how many rows there are, the mean and the scale of each column in float64
 * (`columns.ts`), the classes, and a uniform sample of rows (reservoir sampling) for the median heuristic.
 *
 * γ = 1/median |x − y|² over the pairs of the sample: the distances that occur lie where the kernel bends.
 */
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { type Columns, expectTargetScales, RunningColumns, standardized } from './columns.js';
import { checkedBatches, type Samples, type Task } from './samples.js';

/** Rows of the sample: 125,000 pairs. */
const sampleSize = 500;

export interface Survey {
  readonly rows: number;
  readonly inputs: Columns;
  /** Classes count as columns of zeros and ones that are centred and not scaled. */
  readonly targets: Columns;
  /** Rows of each class; empty in regression. */
  readonly classCounts: readonly number[];
  readonly sample: readonly Float64Array[];
}

export async function survey(where: string, samples: Samples, task: Task, random: Random): Promise<Survey> {
  let inputs: RunningColumns | undefined;
  let values: RunningColumns | undefined;
  const classCounts: number[] = [];
  const sample: Float64Array[] = [];
  let total = 0;
  for await (const { inputs: rowsOf, targets, first, rows } of checkedBatches(where, samples, task)) {
    const dim = rowsOf.shape[1] as number;
    inputs ??= new RunningColumns(dim);
    if (task === 'regression') values ??= new RunningColumns(targets.shape[1] as number);
    for (let row = 0; row < rows; row++) {
      inputs.add(rowsOf.data, row);
      values?.add(targets.data, row);
      if (task === 'classification') count(classCounts, targets.data[row] as number);
      const seen = first + row;
      const slot = seen < sampleSize ? seen : random.split(seen).integer(seen + 1);
      if (slot < sampleSize) sample[slot] = Float64Array.from(rowsOf.data.subarray(row * dim, (row + 1) * dim));
    }
    total += rows;
  }
  if (inputs === undefined || total < 2) {
    throw new PerformerError('DATA', `${where}: expected at least two rows, got ${total}.`);
  }
  const targets = values?.result(where, 'targets') ?? classColumns(where, classCounts, total);
  expectTargetScales(where, targets);
  return { rows: total, inputs: inputs.result(where, 'columns'), targets, classCounts, sample };
}

function count(counts: number[], index: number): void {
  while (counts.length <= index) counts.push(0);
  counts[index] = (counts[index] as number) + 1;
}

function classColumns(where: string, counts: readonly number[], rows: number): Columns {
  if (counts.filter((size) => size > 0).length < 2) {
    throw new PerformerError('DATA', `${where}: expected two classes or more, got one in all ${rows} rows.`);
  }
  return { mean: Float64Array.from(counts, (size) => size / rows), scale: new Float64Array(counts.length).fill(1) };
}

/** 1/median |x − y|² of the sample's pairs, in standardised columns; undefined where all rows are equal. */
export function medianGamma(sample: readonly Float64Array[], { mean, scale }: Columns): number | undefined {
  const rows = sample.map((row) => row.map((value, column) => standardized(value, mean[column]!, scale[column]!)));
  const distances = new Float64Array((rows.length * (rows.length - 1)) / 2);
  let at = 0;
  rows.forEach((left, index) => {
    for (let other = 0; other < index; other++) {
      const right = rows[other] as Float64Array;
      let total = 0;
      for (let column = 0; column < left.length; column++) {
        const difference = (left[column] as number) - (right[column] as number);
        total += difference * difference;
      }
      distances[at++] = total;
    }
  });
  // Pairs of equal rows say nothing about the width of the kernel.
  const different = distances.filter((distance) => distance > 0).sort();
  return different.length === 0 ? undefined : 1 / (different[different.length >> 1] as number);
}

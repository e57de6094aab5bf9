/** How well a machine predicts samples, read once in flat memory. */
import { PerformerError } from '../base/errors.js';
import { RunningColumns } from './columns.js';
import { classesOf, type Predictor } from './predictor.js';
import { checkedBatches, type Samples } from './samples.js';

/** How well values are told. */
export interface RegressionMetrics {
  readonly task: 'regression';
  readonly rows: number;
  /** For each output: the root of the mean squared error, and 1 − error/variance (NaN where there is no variance). */
  readonly outputs: readonly { readonly rootMeanSquare: number; readonly determination: number }[];
}

/** How well classes are told. */
export interface ClassificationMetrics {
  readonly task: 'classification';
  readonly rows: number;
  /** The part of the rows whose class is the predicted one. */
  readonly accuracy: number;
  /** Rows of a class (first index) that were predicted as one (second index). */
  readonly confusion: readonly (readonly number[])[];
}

/** How well a machine does on some rows. */
export type Metrics = RegressionMetrics | ClassificationMetrics;

/** Measures predictions of samples. Throws as `predict` does, and DATA without rows. */
export async function measure(predictor: Predictor, samples: Samples): Promise<Metrics> {
  const { task, outputs } = predictor;
  const confusion = Array.from({ length: task === 'classification' ? outputs : 0 }, () => new Array(outputs).fill(0));
  const errors = new Float64Array(outputs);
  const seen = new RunningColumns(outputs);
  let total = 0;
  for await (const { inputs, targets, first, rows } of checkedBatches('measure', samples, task, predictor)) {
    const predictions = await predictor.predict(inputs, first);
    if (task === 'classification') {
      classesOf(predictions).forEach((predicted, row) => {
        (confusion[targets.data[row] as number] as number[])[predicted]!++;
      });
    } else {
      for (let row = 0; row < rows; row++) {
        seen.add(targets.data, row);
        for (let output = 0; output < outputs; output++) {
          const at = row * outputs + output;
          const error = (targets.data[at] as number) - (predictions.data[at] as number);
          errors[output] = (errors[output] as number) + error * error;
        }
      }
    }
    total += rows;
  }
  if (total === 0) throw new PerformerError('DATA', 'measure: expected rows to predict, got none.');
  if (task === 'classification') {
    const right = confusion.reduce((count, row, index) => count + (row[index] as number), 0);
    return { task, rows: total, accuracy: right / total, confusion };
  }
  return {
    task,
    rows: total,
    outputs: Array.from(errors, (error, output) => {
      const squares = seen.squares[output] as number;
      return {
        rootMeanSquare: Math.sqrt(error / total),
        determination: squares === 0 ? Number.NaN : 1 - error / squares,
      };
    }),
  };
}

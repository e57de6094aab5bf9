/** Regression: numbers are told of a text, by their squared error in standard units. */
import { float32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { areNumbers, type LabelledData, type Target, type TargetList } from '../data/index.js';
import { multiply, reshape, spec, square, subtract, sum } from '../graph/index.js';
import { expectTargets, type Model, type ValueTargets } from '../models/index.js';
import { type LabelledTensors, labelledBatches } from './labelled-task.js';
import type { BatchSize, Task } from './task.js';

/**
 * The values of texts as the targets of a model, with their means and deviations as the units in which they are learned.
 *
 * @param names One for each value; `value` or `value 1`, `value 2` … unless given.
 * @throws DATA for texts whose targets are no numbers, for another number of names, and for no texts.
 */
export function valueTargets(texts: TargetList, names?: readonly string[]): ValueTargets {
  const rows = texts.targets.map(valuesOf);
  const count = rows[0]?.length ?? 0;
  if (count === 0) throw new PerformerError('DATA', 'regression: expected texts with values, got none.');
  const own = names ?? rows[0]?.map((_, index) => (count === 1 ? 'value' : `value ${index + 1}`)) ?? [];
  if (own.length !== count) {
    throw new PerformerError('DATA', `regression: expected a name for each of ${count} values, got ${own.length}.`);
  }
  const meanOf = (each: (row: readonly number[]) => number) =>
    rows.reduce((total, row) => total + each(row), 0) / rows.length;
  const means = own.map((_, at) => meanOf((row) => row[at] as number));
  const deviations = means.map((mean, at) => Math.sqrt(meanOf((row) => ((row[at] as number) - mean) ** 2)) || 1);
  return { kind: 'values', names: [...own], means, deviations };
}

/**
 * The task for a classifier of values and labelled texts. The loss is the mean squared error in standard units;
 * `meanSquaredError` is told in those of the data, and `r2` is the part of the variance that is explained, each as the
 * mean over the values.
 *
 * @throws CONFIG for a model of another family or other targets; DATA, when a batch is made, for texts with another number of values.
 */
export function regression(model: Model, size: BatchSize, data: LabelledData): Task {
  const { names, means = [], deviations = [] } = expectTargets('regression', model, 'values');
  const outputs = names.length;
  const standard = (target: Target) => {
    const values = valuesOf(target);
    if (values.length !== outputs) {
      throw new PerformerError('DATA', `regression: expected ${outputs} values of a text, got ${values.length}.`);
    }
    return values.map((value, at) => (value - (means[at] ?? 0)) / (deviations[at] ?? 1));
  };
  const arrays = {
    spec: spec('float32', [size.batch, outputs]),
    of: (targets: readonly Target[]) => float32([targets.length, outputs], targets.flatMap(standard)),
  };
  return {
    name: 'regression',
    model,
    ...labelledBatches(model, size, data, arrays),
    loss(given, { targets, weights, ...inputs }: LabelledTensors, options) {
      const result = model.apply(given, inputs, options);
      const counted = reshape(weights, [size.batch, 1]);
      const errors = sum(multiply(square(subtract(result.output, targets)), counted), 0); // [outputs]
      const sums = {
        errors,
        targets: sum(multiply(targets, counted), 0),
        squares: sum(multiply(square(targets), counted), 0),
      };
      return { total: sum(errors), count: multiply(sum(counted), outputs), sums, result };
    },
    measures(_, { total, count, sums }) {
      const texts = count / outputs;
      const all = (name: string) => Array.from(sums[name] ?? new Float64Array(outputs));
      const [totals, squares] = [all('targets'), all('squares')];
      const errors = all('errors');
      const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / outputs;
      const variances = squares.map((square, at) => square - (totals[at] as number) ** 2 / texts);
      return {
        loss: total / count,
        meanSquaredError: mean(errors.map((error, at) => ((deviations[at] ?? 1) ** 2 * error) / texts)),
        r2: mean(errors.map((error, at) => 1 - error / (variances[at] as number))),
      };
    },
  };
}

function valuesOf(target: Target): readonly number[] {
  if (areNumbers(target)) return target;
  throw new PerformerError('DATA', `regression: expected numbers as target, got ${JSON.stringify(target)}.`);
}

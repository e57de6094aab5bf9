/** Classification: the class of a text is told, by the cross-entropy of one logit for each class. */
import { int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { LabelledData, Target, TargetList } from '../data/index.js';
import { multiply, oneHot, spec, sum } from '../graph/index.js';
import { type ClassTargets, expectTargets, type Model } from '../models/index.js';
import { accuracyOf, confusionOf, confusionRows, confusionTallies, weightOf } from './confusion.js';
import { crossEntropy } from './cross-entropy.js';
import { macroF1Of } from './f1.js';
import { type LabelledTensors, labelledBatches } from './labelled-task.js';
import type { BatchSize, Task } from './task.js';

/**
 * The classes of texts in the order of the alphabet, as the targets of a model.
 *
 * @param weights `balanced` lets every class count as much as each other, however many texts it has; `equal` every text.
 * @throws DATA for texts of fewer than two classes, or whose targets are numbers.
 */
export function classTargets(texts: TargetList, weights: 'equal' | 'balanced' = 'equal'): ClassTargets {
  const counts = new Map<string, number>();
  for (const target of texts.targets) {
    const name = className(target);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const names = [...counts.keys()].sort();
  if (names.length < 2) {
    throw new PerformerError('DATA', `classification: expected texts of two classes at least, got ${names.length}.`);
  }
  if (weights === 'equal') return { kind: 'classes', names };
  return {
    kind: 'classes',
    names,
    weights: names.map((name) => texts.length / names.length / (counts.get(name) ?? 1)),
  };
}

/**
 * The task for a classifier of classes and labelled texts.
 *
 * @throws CONFIG for a model of another family or other targets; DATA, when a batch is made, for a class that the model does not know.
 */
export function classification(model: Model, size: BatchSize, data: LabelledData): Task {
  const { names, weights: classWeights } = expectTargets('classification', model, 'classes');
  const numbers = new Map(names.map((name, index) => [name, index]));
  const classes = names.length;
  const numberOf = (target: Target) => {
    const number = numbers.get(className(target));
    if (number !== undefined) return number;
    throw new PerformerError('DATA', `classification: expected a class among ${names.join(', ')}, got ${target}.`);
  };
  const arrays = {
    spec: spec('int32', [size.batch]),
    of: (targets: readonly Target[]) => int32([targets.length], targets.map(numberOf)),
  };
  return {
    name: 'classification',
    model,
    ...labelledBatches(model, size, data, arrays),
    loss(given, { targets, weights, ...inputs }: LabelledTensors<'int32'>, options) {
      const result = model.apply(given, inputs, options);
      const losses = crossEntropy(result.output, targets); // [batch]
      const hot = oneHot(targets, classes); // [batch, classes]
      const counted = classWeights === undefined ? weights : multiply(weights, weightOf(hot, classWeights));
      const sums = { confusion: confusionOf(result.output, hot, weights) };
      return { total: sum(multiply(losses, counted)), count: sum(counted), sums, result };
    },
    measures(_, { total, count, sums }) {
      const confusion = sums.confusion ?? new Float64Array(classes ** 2);
      const accuracy = accuracyOf(confusion, classes);
      return { loss: total / count, accuracy, macroF1: macroF1Of(confusionTallies(confusion, classes)) };
    },
    details: ({ sums }) => [{ kind: 'confusion', names, counts: confusionRows(sums.confusion, classes) }],
  };
}

function className(target: Target): string {
  if (typeof target === 'string') return target;
  throw new PerformerError('DATA', `classification: expected the name of a class as target, got ${target.join(', ')}.`);
}

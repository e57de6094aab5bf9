/**
 * Multi-label classification: which of some labels a text has, any number of them, by one logit for each.
 *
 * The loss is the binary cross-entropy of each label, −y·log σ(z) − (1 − y)·log(1 − σ(z)) = softplus(z) − y·z, whose right
 * side loses nothing for large logits. A label is told where its probability σ(z) is above one half, which is where z > 0.
 */
import { float32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { areNumbers, type LabelledData, type Target, type TargetList } from '../data/index.js';
import {
  abs,
  less,
  max,
  multiply,
  reshape,
  scalar,
  softplus,
  spec,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import { expectTargets, type LabelTargets, type Model } from '../models/index.js';
import { f1Of, macroF1Of, type Tally, totalOf } from './f1.js';
import { type LabelledTensors, labelledBatches } from './labelled-task.js';
import type { BatchSize, EvaluationSums, Task } from './task.js';

/**
 * The labels of texts in the order of the alphabet, as the targets of a model.
 *
 * @throws DATA where no text has a label, and for texts whose targets are no lists of labels.
 */
export function labelTargets(texts: TargetList): LabelTargets {
  const names = [...new Set(texts.targets.flatMap(labelsOf))].sort();
  if (names.length > 0) return { kind: 'labels', names };
  throw new PerformerError('DATA', 'multi-label-classification: expected texts of one label at least, got none.');
}

/**
 * The task for a classifier of labels and labelled texts. The loss is in nats a label. `microF1` counts every label of every
 * text alike, `macroF1` is the mean over the labels that some text has or was told, and `exactMatch` the part of the texts
 * all of whose labels were told right.
 *
 * @throws CONFIG for a model of another family or other targets; DATA, when a batch is made, for a label that the model does not know.
 */
export function multiLabelClassification(model: Model, size: BatchSize, data: LabelledData): Task {
  const { names } = expectTargets('multi-label-classification', model, 'labels');
  const numbers = new Map(names.map((name, index) => [name, index]));
  const numberOf = (label: string) => {
    const number = numbers.get(label);
    if (number !== undefined) return number;
    const expected = `labels among ${names.join(', ')}`;
    throw new PerformerError('DATA', `multi-label-classification: expected ${expected}, got ${label}.`);
  };
  const arrays = {
    spec: spec('float32', [size.batch, names.length]),
    of: (targets: readonly Target[]) => {
      const marks = new Float32Array(targets.length * names.length);
      targets.forEach((target, row) => {
        for (const label of labelsOf(target)) marks[row * names.length + numberOf(label)] = 1;
      });
      return float32([targets.length, names.length], marks);
    },
  };
  return {
    name: 'multi-label-classification',
    model,
    ...labelledBatches(model, size, data, arrays),
    loss(given, { targets, weights, ...inputs }: LabelledTensors, options) {
      const result = model.apply(given, inputs, options);
      const logits = result.output; // [batch, labels]
      const counted = reshape(weights, [size.batch, 1]);
      const losses = subtract(softplus(logits), multiply(targets, logits));
      const told = where(less(0, logits), scalar(1), scalar(0));
      const isWrong = max(abs(subtract(targets, told)), -1); // [batch]
      const perLabel = (marks: Tensor) => sum(multiply(marks, counted), 0); // [labels]
      const sums = {
        texts: perLabel(targets),
        told: perLabel(told),
        right: perLabel(multiply(targets, told)),
        exact: sum(multiply(weights, subtract(1, isWrong))),
      };
      return { total: sum(multiply(losses, counted)), count: multiply(sum(counted), names.length), sums, result };
    },
    measures(_, { total, count, sums }) {
      const tallies = labelTallies(names, sums);
      return {
        loss: total / count,
        microF1: f1Of(totalOf(tallies)),
        macroF1: macroF1Of(tallies),
        exactMatch: ((sums.exact?.[0] ?? 0) * names.length) / count,
      };
    },
    details: ({ sums }) => [{ kind: 'labels', unit: 'texts', names, tallies: labelTallies(names, sums) }],
  };
}

/** Of each label, how many texts have it, were told to have it, and rightly, from the sums of an evaluation. */
export function labelTallies(names: readonly string[], sums: EvaluationSums['sums']): readonly Tally[] {
  const at = (name: keyof Tally, index: number) => sums[name]?.[index] ?? 0;
  return names.map((_, index) => ({ texts: at('texts', index), told: at('told', index), right: at('right', index) }));
}

function labelsOf(target: Target): readonly string[] {
  if (typeof target !== 'string' && !areNumbers(target)) return target as readonly string[];
  const got = typeof target === 'string' ? `the text ${target}` : target.join(', ');
  throw new PerformerError('DATA', `multi-label-classification: expected a list of labels as target, got ${got}.`);
}

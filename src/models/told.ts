/** What the output of a model that has targets tells: probabilities of classes or of labels, or values in their own units. */
import { add, constant, multiply, sigmoid, softmax, type Tensor } from '../graph/index.js';
import type { Targets } from './targets.js';

/** The output [..., names] of such a model as probabilities, or in the units of the data. */
export function told(targets: Targets, output: Tensor): Tensor {
  if (targets.kind === 'classes') return softmax(output);
  if (targets.kind === 'labels') return sigmoid(output);
  const { names, means = names.map(() => 0), deviations = names.map(() => 1) } = targets;
  const row = (values: readonly number[]) => constant('float32', [names.length], values);
  return add(multiply(output, row(deviations)), row(means));
}

/**
 * Cross-entropy over many classes: exact, and from sampled negatives.
 *
 * Sampled softmax (Bengio & Senécal 2008; Rawat et al. 2019, eq. 5–6): with s draws from a proposal q, the loss of a row
 * with target t is
 *
 *   log(e^{o_t} + Σ_{drawn i ≠ t} e^{o_i − log(s·q_i/m_i)}) − o_t,      m_i the number of times that i was drawn.
 *
 * The sum estimates Σ_{i≠t} e^{o_i} without bias for any positive q, since E[m_i] = s·q_i; draws of t itself are left out
 * (their part of the sum is not estimated, but known). The gradient of the logarithm has a bias of order 1/s, and its
 * expectation tends to the gradient of the exact loss.
 */
import {
  add,
  equal,
  log,
  max,
  multiply,
  range,
  reshape,
  scalar,
  softmax,
  subtract,
  type Tensor,
  where,
  withGradient,
} from '../../graph/index.js';
import { type ClassTable, classLogits } from './class-logits.js';

/** log Σ exp over the last axis, [rows, classes] → [rows]: three passes over the logits, and one for the gradient. */
function logPartition(logits: Tensor): Tensor {
  const probabilities = softmax(logits);
  // The largest probability is e^{max − log Σ exp}.
  const value = subtract(max(logits, -1, true), log(max(probabilities, -1, true))); // [rows, 1]
  const [result] = withGradient([logits], [value], ([g]) => [multiply(probabilities, g!)]);
  return reshape(result!, [logits.dim(0)]);
}

/** The exact loss, −log softmax(o)[target] in nats: hidden [rows, dim], targets [rows] int32 → [rows]. */
export function exactCrossEntropy(
  hidden: Tensor,
  table: ClassTable,
  targets: Tensor<'int32'>,
  temperature: number,
): Tensor {
  const { all, target } = classLogits(hidden, table, targets, temperature);
  return subtract(logPartition(all), target);
}

/** What a sampled loss reads of a step's classes; `SampledSoftmax.touch` makes it. */
export interface SampledTargets<T = Tensor, I = Tensor<'int32'>> {
  /** The place of each row's target among the touched classes: [rows] int32. */
  readonly targets: I;
  /** log(m/(s·q)) of each touched class, and `notDrawn` for a class that is here as a target alone: [touched] float32. */
  readonly corrections: T;
}

/** The correction of a class that was not drawn: as good as −∞, and finite, so that nothing becomes NaN. */
export const notDrawn = -1e30;

/**
 * The sampled loss in nats: hidden [rows, dim] and the table of the touched classes → [rows]. The negatives are shared by
 * all rows.
 */
export function sampledCrossEntropy(
  hidden: Tensor,
  touched: ClassTable,
  { targets, corrections }: SampledTargets,
  temperature: number,
): Tensor {
  const { all, target } = classLogits(hidden, touched, targets, temperature);
  const column = reshape(targets, [targets.dim(0), 1]);
  const isTarget = equal(column, range(touched.bias.dim(0))); // [rows, touched]
  const adjusted = add(all, where(isTarget, scalar(0), corrections));
  return subtract(logPartition(adjusted), target);
}

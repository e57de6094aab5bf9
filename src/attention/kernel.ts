/**
 * Attention by an exact kernel, o_i = Σⱼ K(q_i, k_j) v_j / Σⱼ K(q_i, k_j): what attention through a feature map of that kernel
 * estimates. Quadratic in the length. With the softmax kernel it is exact softmax attention.
 *
 * Kernels with a logarithm are a softmax of it, which is stable for any input. Of the others, denominators can vanish or be
 * negative: they are guarded as those of feature maps are (`guard.ts`), by mass = √K(q, q)·Σⱼ √K(kⱼ, kⱼ), and no output
 * exceeds a hundred times the largest value.
 */
import {
  broadcastTo,
  cast,
  concatenate,
  less,
  matmul,
  max,
  maximum,
  multiply,
  scalar,
  sqrt,
  stopGradient,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import type { Kernel } from '../kernels/index.js';
import { type AttentionInputs, checkInputs, swapHeads, withoutHidden } from './layout.js';
import { normalizeOutput, weightedGradient } from './normalize.js';
import { visibleKeys, visibleSoftmax } from './visible.js';

/**
 * Every query attends to every key, or to those up to its own position: [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function kernelAttention(
  given: AttentionInputs,
  kernel: Kernel,
  { isCausal }: { readonly isCausal: boolean },
): Tensor {
  checkInputs('kernelAttention', given, isCausal);
  const inputs = withoutHidden(given);
  const query = swapHeads(inputs.query); // [batch, heads, queries, dim]
  const key = swapHeads(inputs.key);
  const value = swapHeads(inputs.value);
  const visible = visibleKeys(inputs, isCausal);
  if (kernel.logMatrix !== undefined) {
    return swapHeads(matmul(visibleSoftmax(kernel.logMatrix(query, key), visible), value));
  }
  const whole = kernel.matrix(query, key); // [batch, heads, queries, keys]
  const seen = visible ?? cast(scalar(1), 'bool');
  const weights = where(broadcastTo(seen, whole.shape), whole, scalar(0));
  const one = broadcastTo(scalar(1), [...value.shape.slice(0, -1), 1]);
  const weighted = matmul(weights, concatenate([value, one], -1)); // [batch, heads, queries, valueDim + 1]
  const counts = where(broadcastTo(seen, whole.shape), scalar(1), scalar(0));
  const lengthOf = (x: Tensor) => sqrt(maximum(stopGradient(kernel.diagonal(x)), 0)); // [..., length, 1]
  const mass = multiply(lengthOf(query), matmul(counts, lengthOf(key))); // [batch, heads, queries, 1]
  const { output, inverse, isOwn } = normalizeOutput(weighted, { visible: less(0, max(counts, -1, true)), mass });
  const [result] = withGradient([weighted], [output], ([g]) => [
    weightedGradient({ gradient: g!, output, inverse, isOwn }),
  ]);
  return swapHeads(result!);
}

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
  less,
  matmul,
  max,
  maximum,
  multiply,
  scalar,
  slice,
  sqrt,
  stopGradient,
  type Tensor,
  where,
} from '../graph/index.js';
import type { Kernel } from '../kernels/index.js';
import { gatherHeads, groupOf, repeatHeads, splitHeads } from './heads.js';
import { type AttentionInputs, checkInputs, swapHeads, withOnes, withoutHidden } from './layout.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { meanOf, seesSome, visibleKeys } from './visible.js';

/** What attention through a kernel has beside its inputs. */
export interface KernelOptions {
  readonly isCausal: boolean;
}

/** The sums of `kernelAttention`. */
export function kernelTerms(given: AttentionInputs, kernel: Kernel, { isCausal }: KernelOptions): AttentionTerms {
  checkInputs('kernelAttention', given, isCausal);
  const inputs = withoutHidden(given);
  const group = groupOf(inputs.query, inputs.key);
  const byHead = swapHeads(inputs.query); // [batch, heads, queries, dim]
  const query = gatherHeads(byHead, group); // [batch, keyHeads, group·queries, dim]
  const key = swapHeads(inputs.key);
  const value = swapHeads(inputs.value);
  const visible = visibleKeys(inputs, isCausal);
  const byQuery = (x: Tensor) => splitHeads(x, group, byHead.dim(2));
  if (kernel.logMatrix !== undefined) {
    const seen = inputs.keyMask && seesSome(visible!);
    return meanOf(byQuery(kernel.logMatrix(query, key)), { value, visible, seen, group });
  }
  const whole = byQuery(kernel.matrix(query, key)); // [batch, heads, queries, keys]
  const seen = broadcastTo(visible ?? cast(scalar(1), 'bool'), whole.shape);
  const weights = where(seen, whole, scalar(0));
  const weighted = byQuery(matmul(gatherHeads(weights, group), withOnes(value))); // [batch, heads, queries, valueDim + 1]
  const counts = where(seen, scalar(1), scalar(0));
  const lengthOf = (x: Tensor) => sqrt(maximum(stopGradient(kernel.diagonal(x)), 0)); // [..., length, 1]
  const mass = multiply(lengthOf(byHead), matmul(counts, repeatHeads(lengthOf(key), group))); // [batch, heads, queries, 1]
  const dim = value.staticDim(-1);
  const denominator = swapHeads(slice(weighted, -1, dim));
  return {
    numerator: swapHeads(slice(weighted, -1, 0, dim)),
    denominator,
    logScale: broadcastTo(scalar(0), denominator.shape),
    mass: swapHeads(mass),
    visible: swapHeads(less(0, max(counts, -1, true))),
  };
}

/**
 * Every query attends to every key, or to those up to its own position: [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function kernelAttention(inputs: AttentionInputs, kernel: Kernel, options: KernelOptions): Tensor {
  return divideTerms(kernelTerms(inputs, kernel, options));
}

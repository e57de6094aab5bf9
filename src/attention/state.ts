/**
 * The state of a causal attention after some tokens: all it keeps of them, whatever their number.
 *
 * With log-features a_j of the keys so far, sum = Σⱼ exp(aⱼ − logScale) [vⱼ, 1]: the numerator and, in the last
 * column, the denominator. States of consecutive stretches merge associatively.
 *
 * A state means nothing to other projections than those it was made with. A graph cannot tell one set from another:
 * checkpoints and sessions keep their digest (`projectionDigest`) beside the state and refuse others.
 */
import { add, divide, less, log, reshape, scalar, slice, type Tensor, where } from '../graph/index.js';

export interface AttentionState<T = Tensor> {
  /** [batch, heads, features, dim + 1] */
  readonly sum: T;
  /** [batch, heads, features]; `emptyLogScale` while nothing was read. */
  readonly logScale: T;
}

/** The logScale of nothing: finite, so that differences of it are numbers, and below every real one, which are above half of it. */
export const emptyLogScale = -3e38;
/** The log-feature of a masked key: so far below that it vanishes even against `emptyLogScale`. */
export const maskedLogScale = -3.4e38;

const raise = 2 ** 58;

/**
 * Weights e^{a − max a} are raised by a power of two, which rounds nothing and cancels in num/den. Sums of weights
 * then use both halves of float32's range instead of the lower one alone, while a million keys, and the gradients, which
 * carry the inverse, stay within it. A row whose visible keys all lie far below a later one of its chunk would otherwise
 * lose its denominator from std 5 of queries and keys on.
 *
 * This is so for features that are shares, of maps with logarithms. The values of others are of any size, and get none.
 */
export function headroomOf(isLogarithmic: boolean): number {
  return isLogarithmic ? raise : 1;
}

/**
 * The same state with denominators of 1: the scale of a feature is then the logarithm of its whole weight, which no
 * later sum of states or of keys can make vanish. A feature without any weight stays as it is.
 */
export function normalizeState({ sum: total, logScale }: AttentionState): AttentionState {
  const denominator = slice(total, -1, total.staticDim(-1) - 1); // [batch, heads, features, 1]
  const safe = where(less(0, denominator), denominator, scalar(1));
  return { sum: divide(total, safe), logScale: add(logScale, reshape(log(safe), logScale.shape)) };
}

/**
 * The state of a causal attention after some tokens: all it keeps of them, whatever their number.
 *
 * With log-features a_j of the keys so far, sum = Σⱼ exp(aⱼ − logScale) [vⱼ, 1]: the numerator and, in the last
 * column, the denominator. States of consecutive stretches merge associatively.
 */
import type { Tensor } from '../graph/index.js';

export interface AttentionState<T = Tensor> {
  /** [batch, heads, features, dim + 1] */
  readonly sum: T;
  /** [batch, heads, features]; `emptyLogScale` while nothing was read. */
  readonly logScale: T;
}

/** The logScale of nothing: finite, so that differences of it are numbers, and below every real one. */
export const emptyLogScale = -1e30;
/** The log-feature of a masked key: so far below that it vanishes even against `emptyLogScale`. */
export const maskedLogScale = -2e30;

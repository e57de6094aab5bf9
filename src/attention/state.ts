/**
 * The state of a causal attention after some tokens: all it keeps of them, whatever their number.
 *
 * With log-features a_j of the keys so far, sum = Σⱼ exp(aⱼ − logScale) [vⱼ, 1]: the numerator and, in the last
 * column, the denominator. States of consecutive stretches merge associatively (`mergeStates`), which is how several
 * machines read one sequence.
 *
 * Keys may decay: a token then multiplies the state before it by e^{logDecay}, which its logScale alone has to tell.
 *
 * Only the product sum·exp(logScale) has a meaning: attention gives the whole gradient of a state to its sum, and takes the
 * logScale as a constant.
 *
 * A state means nothing to other projections than those it was made with. A graph cannot tell one set from another:
 * checkpoints and sessions keep their digest (`projectionDigest`) beside the state and refuse others.
 */
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { StateSpec } from '../base/layout.js';
import {
  add,
  divide,
  exp,
  less,
  log,
  maximum,
  multiply,
  reshape,
  scalar,
  slice,
  stopGradient,
  subtract,
  type Tensor,
  where,
} from '../graph/index.js';

/** What FAVOR+ keeps of the tokens read: one size, however many they were. */
export interface AttentionState<T = Tensor> {
  /** [batch, keyHeads, features, dim + 1] */
  readonly sum: T;
  /** [batch, keyHeads, features]; `emptyLogScale` while nothing was read. */
  readonly logScale: T;
  /** The logarithm of what the tokens read multiply a state before them by, where they decay; for merging. [batch, keyHeads] */
  readonly logDecay?: T | undefined;
}

/** The logScale of nothing: finite, so that differences of it are numbers, and below every real one, which are above half of it. */
export const emptyLogScale = -3e38;
/** The log-feature of a masked key: so far below that it vanishes even against `emptyLogScale`. */
export const maskedLogScale = -3.4e38;

/** What a state is made of, and its value before the first token. */
export function attentionStateLayout(sizes: {
  readonly batch: Dim;
  readonly keyHeads: Dim;
  /** Of the state: `stateFeatureCount` of a map. */
  readonly featureCount: number;
  readonly valueDim: number;
}): AttentionState<StateSpec> {
  const { batch, keyHeads, featureCount, valueDim } = sizes;
  return {
    sum: { dtype: 'float32', shape: [batch, keyHeads, featureCount, valueDim + 1], initial: 0 },
    logScale: { dtype: 'float32', shape: [batch, keyHeads, featureCount], initial: emptyLogScale },
  };
}

/**
 * The state after two stretches of tokens, from those after each alone: associative. The order counts for nothing, unless keys
 * decay: the first stretch is then the earlier one, which the second makes smaller.
 *
 * @throws CONFIG where one of them has a decay and the other has none.
 */
export function mergeStates(a: AttentionState, b: AttentionState): AttentionState {
  if ((a.logDecay === undefined) !== (b.logDecay === undefined)) {
    throw new PerformerError('CONFIG', 'mergeStates: expected a logDecay of both states or of none, got one.');
  }
  const earlier = decayScale(a.logScale, b.logDecay);
  const logScale = stopGradient(maximum(earlier, b.logScale));
  const scaled = (total: Tensor, own: Tensor) => {
    const factor = exp(subtract(own, logScale));
    return multiply(total, reshape(factor, [...factor.shape, 1]));
  };
  return {
    sum: add(scaled(a.sum, earlier), scaled(b.sum, b.logScale)),
    logScale,
    logDecay: a.logDecay && b.logDecay && add(a.logDecay, b.logDecay),
  };
}

/** A logScale [batch, keyHeads, features] after tokens whose decays add up to `logDecay` [batch, keyHeads]. */
export function decayScale(logScale: Tensor, logDecay: Tensor | undefined): Tensor {
  return logDecay === undefined ? logScale : add(logScale, reshape(logDecay, [...logDecay.shape, 1]));
}

/**
 * The logDecay of a state after tokens whose decays add up to `own` [batch, keyHeads], read after another state, `before`. It is
 * that of all tokens since nothing was read, and unknown where `before` has none.
 */
export function decayAfter(before: AttentionState | undefined, own: Tensor | undefined): Tensor | undefined {
  if (before === undefined || own === undefined) return own;
  return before.logDecay && add(before.logDecay, own);
}

/** Whether a logScale is that of something which has read a key. */
export function seesKeys(logScale: Tensor): Tensor<'bool'> {
  return less(emptyLogScale / 2, logScale);
}

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

/** x times such a factor. */
export function raiseBy(x: Tensor, headroom: number): Tensor {
  return headroom === 1 ? x : multiply(x, headroom);
}

/**
 * The same state with denominators of 1: the scale of a feature is then the logarithm of its whole weight, which no
 * later sum of states or of keys can make vanish. A feature without any weight stays as it is.
 */
export function normalizeState({ sum: total, logScale }: AttentionState): AttentionState {
  const denominator = stopGradient(slice(total, -1, total.staticDim(-1) - 1)); // [batch, keyHeads, features, 1]
  const safe = where(less(0, denominator), denominator, scalar(1));
  return { sum: divide(total, safe), logScale: stopGradient(add(logScale, reshape(log(safe), logScale.shape))) };
}

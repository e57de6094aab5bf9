/**
 * Causal FAVOR+ one token at a time, the state left as it is: the last tokens stand beside it until they are added.
 *
 *   w = e^{a_k − M − L};   [num, den] = softmax(a_q + M)·(S + Σ_{recent and own} w_j [v_j, 1]ᵀ)
 *
 * with log-features a, the state's sum S and scales M, and the sum L of the logDecay of the recent tokens and the own one (0 where
 * keys do not decay): a decay makes the scale of the state smaller, M + L, and with it what stands beside it. A token reads the state and writes a row for each head, where
 * the recurrent form (recurrent.ts) writes the whole state: what costs most where an engine copies what it gives back.
 * M cannot follow the keys meanwhile, so a weight can overflow: a token with one above `largestDeferredWeight` must be
 * read by the recurrent form instead.
 */
import type { FeatureMap } from '../features/index.js';
import { add, exp, matmul, max, multiply, reshape, scalar, subtract, sum, type Tensor, where } from '../graph/index.js';
import { massOf, massOfState } from './guard.js';
import type { AttentionInputs } from './layout.js';
import { tokenFeatures, tokenTerms, weightsAt } from './recurrent.js';
import { type AttentionState, decayAfter, decayScale, seesKeys } from './state.js';
import { type AttentionTerms, divideTerms } from './terms.js';

/** Tokens that no state holds yet: each one's part of a sum is the product of its weights and its value. */
export interface RecentTokens<T = Tensor> {
  /** [batch, keyHeads, tokens, features], relative to the scales of the state; zeros for a token that is none. */
  readonly weight: T;
  /** [batch, keyHeads, tokens, dim + 1], the last of them 1 */
  readonly value: T;
  /** The logDecay of each, [batch, keyHeads, tokens, 1], 0 for a token that is none; absent where keys do not decay. */
  readonly logDecay?: T | undefined;
}

/** A state and the tokens after it. */
export interface DeferredState<T = Tensor> extends AttentionState<T> {
  readonly recent: RecentTokens<T>;
}

/** Sums of weights up to this one, of a million tokens and more, stay far within float32. */
export const largestDeferredWeight = 2 ** 30;

/** The sums of `deferredAttention`, and the token as a recent one. */
export function deferredTerms(
  inputs: AttentionInputs,
  features: FeatureMap,
  state: DeferredState,
): { readonly terms: AttentionTerms; readonly state: RecentTokens } {
  const { recent } = state;
  const found = { logScale: decayScale(state.logScale, recentDecay(recent)) };
  const token = tokenFeatures('deferredAttention', inputs, features, { ...state, ...found });
  const { map, keyScale, keyValues, value, before, logDecay } = token;
  const relative = exp(subtract(keyScale, before)); // [batch, keyHeads, 1, features]
  const shown = keyValues === undefined ? relative : multiply(keyValues, relative);
  const mask = inputs.keyMask === undefined ? undefined : reshape(inputs.keyMask, [...inputs.keyMask.shape, 1, 1]);
  const weight = mask === undefined ? shown : where(mask, shown, scalar(0));
  const { weight: queryWeight, logScale } = weightsAt(token, before);
  const ofRecent = matmul(matmul(queryWeight, recent.weight, { transposeRight: true }), recent.value);
  const own = multiply(matmul(queryWeight, weight, { transposeRight: true }), value); // [batch, keyHeads, group, dim + 1]
  const terms = tokenTerms(token, add(add(matmul(queryWeight, state.sum), ofRecent), own), {
    logScale,
    mass: map.isSigned ? massWith(state, weight) : undefined,
    visible: mask && seesKeys(max(before, -1, true)),
  });
  return { terms, state: { weight, value, logDecay: logDecay && reshape(logDecay, [...logDecay.shape, 1, 1]) } };
}

/**
 * One token [batch, 1, heads, dim] attending to itself, to the recent ones and to the state. A token whose keyMask is
 * false becomes one of no weight. Returns the output [batch, 1, heads, valueDim] and the token as a recent one.
 */
export function deferredAttention(
  inputs: AttentionInputs,
  features: FeatureMap,
  state: DeferredState,
): { output: Tensor; state: RecentTokens } {
  const { terms, state: row } = deferredTerms(inputs, features, state);
  return { output: divideTerms(terms), state: row };
}

/** The mass of the state, the recent tokens and the own one, [batch, keyHeads, 1, 1]: a guarded map's last feature. */
function massWith({ sum: total, recent }: DeferredState, weight: Tensor): Tensor {
  return add(massOfState(total), add(sum(massOf(recent.weight), -2, true), massOf(weight)));
}

/** The decay of the recent tokens together, [batch, keyHeads]. */
function recentDecay({ logDecay }: RecentTokens): Tensor | undefined {
  return logDecay && sum(logDecay, [2, 3]);
}

/** The state with the recent tokens in it. */
export function addRecent({ recent, ...state }: DeferredState): AttentionState {
  return {
    sum: add(state.sum, matmul(recent.weight, recent.value, { transposeLeft: true })),
    logScale: decayScale(state.logScale, recentDecay(recent)),
    logDecay: decayAfter(state, recentDecay(recent)),
  };
}

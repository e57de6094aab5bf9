/** The hybrid of an exact window and FAVOR+ (hybrid.ts), one token at a time: after a state, or beside it (deferred.ts). */
import type { FeatureMap } from '../features/index.js';
import { and, less, reshape, type Tensor } from '../graph/index.js';
import { addRecent, deferredTerms, type RecentTokens } from './deferred.js';
import { lateKeys } from './far-keys.js';
import type { HybridState } from './hybrid.js';
import { type AttentionInputs, checkInputs, expectPositions, swapHeads, withoutHidden } from './layout.js';
import { recurrentTerms } from './recurrent.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { addToWindow, deferredWindow, recurrentWindow } from './window-recurrent.js';
import type { WindowState } from './window-state.js';

/** Tokens that no state holds yet: as they are, and the features of those that left the window meanwhile. */
export interface RecentHybrid<T = Tensor> {
  readonly near: WindowState<T>;
  readonly far: RecentTokens<T>;
}

function checkToken(given: AttentionInputs, features: FeatureMap): AttentionInputs {
  checkInputs('hybridAttention', given, true, true);
  expectPositions('hybridAttention', given, features, true);
  return withoutHidden(given);
}

/** The terms of one token after a state, and the next state. Throws as `hybridAttention`. */
export function recurrentHybridTerms(
  given: AttentionInputs,
  features: FeatureMap,
  state: HybridState,
): { readonly terms: readonly [AttentionTerms, AttentionTerms]; readonly state: HybridState } {
  const inputs = checkToken(given, features);
  const near = recurrentWindow(inputs, state.near);
  const far = recurrentTerms(lateKeys(inputs, state.near, features), features, state.far);
  return { terms: [near.terms, far.terms], state: { near: near.state, far: far.state } };
}

/** The hybrid for one token [batch, 1, heads, dim] after a state: its output and the next state. Throws as `hybridAttention`. */
export function recurrentHybrid(
  inputs: AttentionInputs,
  features: FeatureMap,
  state: HybridState,
): { output: Tensor; state: HybridState } {
  const { terms, state: next } = recurrentHybridTerms(inputs, features, state);
  return { output: divideTerms(...terms), state: next };
}

/** The hybrid for one token beside a state and the tokens after it: its output, and the token as a recent one. */
export function deferredHybrid(
  given: AttentionInputs,
  features: FeatureMap,
  state: HybridState,
  recent: RecentHybrid,
): { output: Tensor; state: RecentHybrid } {
  const inputs = checkToken(given, features);
  const { terms, row, oldest } = deferredWindow(inputs, state.near, recent.near);
  const isReal = less(0, reshape(oldest.isReal, [given.key.dim(0), 1]));
  const late = {
    ...lateKeys(inputs, state.near, features),
    ...{ key: swapHeads(oldest.key), value: swapHeads(oldest.value) },
    keyMask: given.keyMask === undefined ? isReal : and(isReal, given.keyMask),
  };
  const far = deferredTerms(late, features, { ...state.far, recent: recent.far });
  return { output: divideTerms(terms, far.terms), state: { near: row, far: far.state } };
}

/** The state with the recent tokens in it. */
export function addRecentHybrid(state: HybridState, recent: RecentHybrid): HybridState {
  return { near: addToWindow(state.near, recent.near), far: addRecent({ ...state.far, recent: recent.far }) };
}

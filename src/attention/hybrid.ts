/**
 * The hybrid: exact softmax attention to the nearest keys and FAVOR+ to all others, under one denominator.
 *
 *   o_i = (Σ_{j near} e^{q_i·k_j/√dim} v_j + Σ_{j far} φ(q_i)·φ(k_j) v_j) / (Σ_{j near} e^{q_i·k_j/√dim} + Σ_{j far} φ(q_i)·φ(k_j))
 *
 * With features that estimate softmax attention's kernel without bias, numerator and denominator are unbiased estimates of
 * exact attention's, whose errors come from the far keys alone. The near keys of causal attention are those of window.ts, the far
 * ones, `window` places away and more, those of far-keys.ts. These may decay (`logDecay`), which begins when they leave the
 * window: near keys count in full. Attention in both directions is in hybrid-blocks.ts: all keys nearer than `window` are exact
 * there, and some farther ones.
 */
import type { FeatureMap } from '../features/index.js';
import type { Tensor } from '../graph/index.js';
import { farTerms } from './far-keys.js';
import { blockHybridTerms } from './hybrid-blocks.js';
import { type AttentionInputs, checkInputs, expectPositions, refuseSequenceWide, withoutHidden } from './layout.js';
import type { AttentionState } from './state.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { causalWindowTerms } from './window.js';
import { expectWindow, refuseState, type WindowState } from './window-state.js';

/** What is kept of the tokens read: the last ones as they are, and sums of all that are older. */
export interface HybridState<T = Tensor> {
  readonly near: WindowState<T>;
  readonly far: AttentionState<T>;
}

/** What the hybrid has beside its inputs. */
export interface HybridOptions {
  /**
   * Keys that a query sees exactly: of causal attention the last ones, its own among them; else those nearer than this on either side,
   * and some that are nearer than twice as much.
   */
  readonly window: number;
  readonly isCausal: boolean;
  /** Tokens that are read at once; changes the speed and nothing else. */
  readonly chunk?: number | undefined;
  /** What was read before these tokens. Causal only. */
  readonly state?: HybridState | undefined;
}

/** The inputs of the near keys, which do not decay. */
export function undecayed(inputs: AttentionInputs): AttentionInputs {
  return { ...inputs, logDecay: undefined };
}

/**
 * The sums of the near and of the far keys of causal attention, and the state after the last token. What stands after the last
 * real token of a row is padding, whose outputs mean nothing. Throws as `hybridAttention`.
 */
export function causalHybridTerms(
  given: AttentionInputs,
  map: FeatureMap,
  { window, chunk, state }: Omit<HybridOptions, 'isCausal'>,
): { readonly terms: readonly [AttentionTerms, AttentionTerms]; readonly state: HybridState } {
  const inputs = withoutHidden(given);
  const near = causalWindowTerms(undecayed(inputs), window, state?.near);
  expectPositions('hybridAttention', inputs, map, state !== undefined);
  const far = farTerms(inputs, map, { window, chunk }, state);
  return { terms: [near.terms, far.terms], state: { near: near.state, far: far.state } };
}

/** The sums of the near and of the far keys of attention in both directions. Throws as `hybridAttention`. */
export function bidirectionalHybridTerms(
  given: AttentionInputs,
  map: FeatureMap,
  options: Pick<HybridOptions, 'window' | 'chunk'>,
): readonly [AttentionTerms, ...AttentionTerms[]] {
  checkInputs('hybridAttention', given, true);
  expectWindow('hybridAttention', options.window);
  refuseSequenceWide('hybridAttention', map);
  expectPositions('hybridAttention', given, map);
  return blockHybridTerms(withoutHidden(given), map, options);
}

/**
 * Exact attention to the nearest keys and FAVOR+ to the others under one denominator: the output [batch, length, heads,
 * valueDim] of queries, keys and values of one length, in time and memory linear in it, and of causal attention the state.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for a window that is no positive integer, for features that cannot be
 *   causal (an epsilon), and for a state of attention that is not causal.
 */
export function hybridAttention(
  inputs: AttentionInputs,
  features: FeatureMap,
  { isCausal, ...options }: HybridOptions,
): { output: Tensor; state: HybridState | undefined } {
  if (isCausal) {
    const { terms, state } = causalHybridTerms(inputs, features, options);
    return { output: divideTerms(...terms), state };
  }
  refuseState('hybridAttention', options.state);
  return { output: divideTerms(...bidirectionalHybridTerms(inputs, features, options)), state: undefined };
}

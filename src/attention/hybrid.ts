/**
 * The hybrid: exact softmax attention to the nearest keys and FAVOR+ to all others, under one denominator.
 *
 *   o_i = (Σ_{j near} e^{q_i·k_j/√dim} v_j + Σ_{j far} φ(q_i)·φ(k_j) v_j) / (Σ_{j near} e^{q_i·k_j/√dim} + Σ_{j far} φ(q_i)·φ(k_j))
 *
 * With features that estimate softmax attention's kernel without bias, numerator and denominator are unbiased estimates of
 * exact attention's, whose errors come from the far keys alone. The near keys are those of window.ts. The far ones, `window`
 * places away and more, are those of causal FAVOR+ over keys that arrive `window` tokens late. They may decay (`logDecay`), which
 * begins when they leave the window: near keys count in full. Attention that is not causal reads the far keys twice, forwards
 * and backwards, since a sum over all keys less one over the near keys may cancel to nothing.
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  and,
  broadcastTo,
  cast,
  concatenate,
  less,
  range,
  reshape,
  reverse,
  slice,
  subtract,
  type Tensor,
} from '../graph/index.js';
import { causalTerms } from './causal.js';
import { type AttentionInputs, expectPositions, swapHeads, withoutHidden } from './layout.js';
import type { AttentionState } from './state.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { bidirectionalWindowTerms, causalWindowTerms } from './window.js';
import { emptyWindow, joinWindow, readCounts, refuseState, type WindowState } from './window-state.js';

/** What is kept of the tokens read: the last ones as they are, and sums of all that are older. */
export interface HybridState<T = Tensor> {
  readonly near: WindowState<T>;
  readonly far: AttentionState<T>;
}

/** What the hybrid has beside its inputs. */
export interface HybridOptions {
  /** Keys that a query sees exactly: of causal attention the last ones, its own among them; else those nearer than this on either side. */
  readonly window: number;
  readonly isCausal: boolean;
  /** Tokens that are read at once; changes the speed and nothing else. */
  readonly chunk?: number | undefined;
  /** What was read before these tokens. Causal only. */
  readonly state?: HybridState | undefined;
}

/** Where the tokens are read from: before the first one, or after the last. */
type Direction = 1 | -1;

/** Positions as numbers that may fall below zero: those of keys are of tokens `window` places before. */
function latePositions(inputs: AttentionInputs, window: number, direction: Direction) {
  const [batch, length] = inputs.key.shape as [Dim, Dim];
  const number = (x: AttentionInputs['keyPosition']) =>
    cast(x ?? broadcastTo(range(length), [batch, length]), 'float32');
  const { queryPosition, keyPosition } = inputs;
  return { queryPosition: number(queryPosition), keyPosition: subtract(number(keyPosition), direction * window) };
}

/** The inputs with keys that arrive `window` tokens late, those of a state first. */
function allLate(inputs: AttentionInputs, state: WindowState, map: FeatureMap, direction: Direction) {
  const [batch, length] = inputs.key.shape as [Dim, Dim];
  const late = (before: Tensor, own: Tensor) => slice(concatenate([swapHeads(before), own], 1), 1, 0, length);
  const isReal = slice(joinWindow(state, inputs).isReal, 2, 0, length);
  return {
    query: inputs.query,
    key: late(state.key, inputs.key),
    value: late(state.value, inputs.value),
    keyMask: less(0, reshape(isReal, [batch, length])),
    logDecay: inputs.logDecay,
    ...(map.usesPosition ? latePositions(inputs, state.key.staticDim(2), direction) : {}),
  };
}

/** The inputs of the near keys, which do not decay. */
export function undecayed(inputs: AttentionInputs): AttentionInputs {
  return { ...inputs, logDecay: undefined };
}

/** The same of a text that can be read on: what comes after the last real token of a row is no token, and lets none arrive. */
export function lateKeys(inputs: AttentionInputs, state: WindowState, map: FeatureMap): AttentionInputs {
  const late = allLate(inputs, state, map, 1);
  const counts = readCounts(inputs);
  if (counts === undefined) return late;
  return { ...late, keyMask: and(late.keyMask, less(range(inputs.key.dim(1)), counts)) };
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
  const late = lateKeys(inputs, state?.near ?? emptyWindow(inputs, window), map);
  const far = causalTerms(late, map, { chunk, state: state?.far });
  return { terms: [near.terms, far.terms], state: { near: near.state, far: far.state } };
}

function reversed(inputs: AttentionInputs): AttentionInputs {
  const { query, key, value, keyMask } = inputs;
  const numbers = latePositions(inputs, 0, 1);
  return {
    ...{ query: reverse(query, 1), key: reverse(key, 1), value: reverse(value, 1) },
    keyMask: keyMask && less(0, reverse(cast(keyMask, 'float32'), 1)),
    queryPosition: reverse(numbers.queryPosition, 1),
    keyPosition: reverse(numbers.keyPosition, 1),
  };
}

/** The sums of the near keys, of those before and of those behind. Throws as `hybridAttention`. */
export function bidirectionalHybridTerms(
  given: AttentionInputs,
  map: FeatureMap,
  { window, chunk }: Pick<HybridOptions, 'window' | 'chunk'>,
): readonly [AttentionTerms, ...AttentionTerms[]] {
  const inputs = withoutHidden(given);
  const near = bidirectionalWindowTerms(inputs, window);
  expectPositions('hybridAttention', inputs, map);
  const nothing = emptyWindow(inputs, window);
  const far = (from: AttentionInputs, direction: Direction) =>
    causalTerms(allLate(from, nothing, map, direction), map, { chunk }).terms;
  const before = far(inputs, 1);
  const { numerator, denominator, logScale, mass, visible } = far(reversed(inputs), -1);
  const back = (x: Tensor) => reverse(x, 1);
  const after = {
    ...{ numerator: back(numerator), denominator: denominator && back(denominator), logScale: back(logScale) },
    ...{ mass: mass && back(mass), visible: visible && less(0, back(cast(visible, 'float32'))) },
  };
  return [near, before, after];
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

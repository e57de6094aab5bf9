/**
 * The far keys of the causal hybrid, `window` places away and more: those of causal FAVOR+ over keys that arrive `window` tokens late.
 * In a text of known length without a state, the first `window` queries see none and the last keys are none, so that both are
 * left out, and nothing else has to be hidden.
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  and,
  broadcastTo,
  cast,
  concatenate,
  less,
  pad,
  range,
  reshape,
  scalar,
  slice,
  subtract,
  type Tensor,
} from '../graph/index.js';
import { causalTerms } from './causal.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import type { AttentionState } from './state.js';
import type { AttentionTerms } from './terms.js';
import { emptyWindow, joinWindow, readCounts, type WindowState } from './window-state.js';

/** What the sums over far keys have beside their inputs. */
interface FarOptions {
  readonly window: number;
  /** Tokens that are read at once. */
  readonly chunk?: number | undefined;
}

interface FarTerms {
  readonly terms: AttentionTerms;
  readonly state: AttentionState;
}

/** Positions as numbers that may fall below zero: those of keys are of tokens `late` places before. */
function numbersOf({ key, queryPosition, keyPosition }: AttentionInputs, late: number) {
  const [batch, length] = key.shape as [Dim, Dim];
  const number = (x: AttentionInputs['keyPosition']) =>
    cast(x ?? broadcastTo(range(length), [batch, length]), 'float32');
  return { queryPosition: number(queryPosition), keyPosition: subtract(number(keyPosition), late) };
}

/** The inputs with keys that arrive `window` tokens late, those of a state first. */
function allLate(inputs: AttentionInputs, state: WindowState, map: FeatureMap) {
  const [batch, length] = inputs.key.shape as [Dim, Dim];
  const late = (before: Tensor, own: Tensor) => slice(concatenate([swapHeads(before), own], 1), 1, 0, length);
  const isReal = slice(joinWindow(state, inputs).isReal, 2, 0, length);
  return {
    query: inputs.query,
    key: late(state.key, inputs.key),
    value: late(state.value, inputs.value),
    keyMask: less(0, reshape(isReal, [batch, length])),
    logDecay: inputs.logDecay,
    ...(map.usesPosition ? numbersOf(inputs, state.key.staticDim(2)) : {}),
  };
}

/** The same of a text that can be read on: what comes after the last real token of a row is no token, and lets none arrive. */
export function lateKeys(inputs: AttentionInputs, state: WindowState, map: FeatureMap): AttentionInputs {
  const late = allLate(inputs, state, map);
  const counts = readCounts(inputs);
  if (counts === undefined) return late;
  return { ...late, keyMask: and(late.keyMask, less(range(inputs.key.dim(1)), counts)) };
}

/** Whether a text is known to have far keys. */
function hasFarKeys({ key }: AttentionInputs, window: number): boolean {
  const length = key.dim(1);
  return typeof length === 'number' && length > window;
}

/** The sums where there are far keys, of those queries and keys alone; queries that see none are added as such. */
function cutTerms(inputs: AttentionInputs, map: FeatureMap, { window, chunk }: FarOptions): FarTerms {
  const length = inputs.key.staticDim(1);
  const ofKeys = (x: Tensor) => slice(x, 1, 0, length - window);
  const ofQueries = (x: Tensor) => slice(x, 1, window, length);
  const { query, key, value, logDecay } = inputs;
  const numbers = numbersOf(inputs, 0);
  const positions = { queryPosition: ofQueries(numbers.queryPosition), keyPosition: ofKeys(numbers.keyPosition) };
  const cut = {
    ...{ query: ofQueries(query), key: ofKeys(key), value: ofKeys(value), logDecay: logDecay && ofQueries(logDecay) },
    ...(map.usesPosition ? positions : {}),
  };
  const { terms, state } = causalTerms(cut, map, { chunk });
  const whole = (x: Tensor) => pad(x, 1, window, 0);
  const { numerator, denominator, logScale, mass } = terms;
  const isSeeing = whole(broadcastTo(scalar(1), [1, length - window, 1, 1]));
  return {
    terms: {
      ...{ numerator: whole(numerator), denominator: denominator && whole(denominator), logScale: whole(logScale) },
      ...{ mass: mass && whole(mass), visible: less(0, isSeeing) },
    },
    state,
  };
}

/** The sums of the far keys before each query, and the state after the last token. */
export function farTerms(
  inputs: AttentionInputs,
  map: FeatureMap,
  options: FarOptions,
  state?: { readonly near: WindowState; readonly far: AttentionState },
): FarTerms {
  const { window, chunk } = options;
  // What is padding lets no key arrive, so that the state is that of a row alone.
  if (state === undefined && inputs.keyMask === undefined && hasFarKeys(inputs, window)) {
    return cutTerms(inputs, map, options);
  }
  const late = lateKeys(inputs, state?.near ?? emptyWindow(inputs, window), map);
  return causalTerms(late, map, { chunk, state: state?.far });
}

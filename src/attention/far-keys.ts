/**
 * The far keys of the hybrid, `window` places away and more: those of causal FAVOR+ over keys that arrive `window` tokens late.
 * In a text of known length without a state, the first `window` queries see none and the last keys are none, so that both are
 * left out, and nothing else has to be hidden. Keys that come after a query are those before it in the text read backwards.
 */
import type { Dtype } from '../base/array.js';
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
  reverse,
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

/** Where the tokens are read from: before the first one, or after the last. */
type Direction = 1 | -1;

/** Positions as numbers that may fall below zero: those of keys are of tokens `late` places before. */
function numbersOf({ key, queryPosition, keyPosition }: AttentionInputs, late: number) {
  const [batch, length] = key.shape as [Dim, Dim];
  const number = (x: AttentionInputs['keyPosition']) =>
    cast(x ?? broadcastTo(range(length), [batch, length]), 'float32');
  return { queryPosition: number(queryPosition), keyPosition: subtract(number(keyPosition), late) };
}

function reverseMask(mask: Tensor<'bool'>): Tensor<'bool'> {
  return less(0, reverse(cast(mask, 'float32'), 1));
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
    ...(map.usesPosition ? numbersOf(inputs, direction * state.key.staticDim(2)) : {}),
  };
}

/** The same of a text that can be read on: what comes after the last real token of a row is no token, and lets none arrive. */
export function lateKeys(inputs: AttentionInputs, state: WindowState, map: FeatureMap): AttentionInputs {
  const late = allLate(inputs, state, map, 1);
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
function cutTerms(
  inputs: AttentionInputs,
  map: FeatureMap,
  { window, chunk }: FarOptions,
  direction: Direction,
): FarTerms {
  const length = inputs.key.staticDim(1);
  const isForward = direction === 1;
  const turn = (x: Tensor) => (isForward ? x : reverse(x, 1));
  const first = <D extends Dtype>(x: Tensor<D>) => slice(x, 1, 0, length - window);
  const last = <D extends Dtype>(x: Tensor<D>) => slice(x, 1, window, length);
  const [ofQueries, ofKeys] = isForward ? [last, first] : [first, last];
  const { query, key, value, keyMask, logDecay } = inputs;
  const shown = keyMask && ofKeys(keyMask);
  const numbers = numbersOf(inputs, 0);
  const positions = {
    queryPosition: turn(ofQueries(numbers.queryPosition)),
    keyPosition: turn(ofKeys(numbers.keyPosition)),
  };
  const cut = {
    ...{ query: turn(ofQueries(query)), key: turn(ofKeys(key)), value: turn(ofKeys(value)) },
    keyMask: shown === undefined || isForward ? shown : reverseMask(shown),
    logDecay: logDecay && ofQueries(logDecay),
    ...(map.usesPosition ? positions : {}),
  };
  const { terms, state } = causalTerms(cut, map, { chunk });
  const whole = (x: Tensor) => pad(turn(x), 1, isForward ? window : 0, isForward ? 0 : window);
  const { numerator, denominator, logScale, mass, visible } = terms;
  const isSeeing =
    visible === undefined ? broadcastTo(scalar(1), [1, length - window, 1, 1]) : cast(visible, 'float32');
  return {
    terms: {
      ...{ numerator: whole(numerator), denominator: denominator && whole(denominator), logScale: whole(logScale) },
      ...{ mass: mass && whole(mass), visible: less(0, whole(isSeeing)) },
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
    return cutTerms(inputs, map, options, 1);
  }
  const late = lateKeys(inputs, state?.near ?? emptyWindow(inputs, window), map);
  return causalTerms(late, map, { chunk, state: state?.far });
}

function reversed(inputs: AttentionInputs): AttentionInputs {
  const { query, key, value, keyMask } = inputs;
  const { queryPosition, keyPosition } = numbersOf(inputs, 0);
  return {
    ...{ query: reverse(query, 1), key: reverse(key, 1), value: reverse(value, 1) },
    keyMask: keyMask && reverseMask(keyMask),
    ...{ queryPosition: reverse(queryPosition, 1), keyPosition: reverse(keyPosition, 1) },
  };
}

/** The sums of the far keys before each query, and of those behind it. */
export function farTermsOnBothSides(
  inputs: AttentionInputs,
  map: FeatureMap,
  options: FarOptions,
): readonly [AttentionTerms, AttentionTerms] {
  const { window, chunk } = options;
  if (hasFarKeys(inputs, window)) {
    return [cutTerms(inputs, map, options, 1).terms, cutTerms(inputs, map, options, -1).terms];
  }
  const nothing = emptyWindow(inputs, window);
  const far = (from: AttentionInputs, direction: Direction) =>
    causalTerms(allLate(from, nothing, map, direction), map, { chunk }).terms;
  const before = far(inputs, 1);
  const { numerator, denominator, logScale, mass, visible } = far(reversed(inputs), -1);
  const back = (x: Tensor) => reverse(x, 1);
  const behind = {
    ...{ numerator: back(numerator), denominator: denominator && back(denominator), logScale: back(logScale) },
    ...{ mass: mass && back(mass), visible: visible && reverseMask(visible) },
  };
  return [before, behind];
}

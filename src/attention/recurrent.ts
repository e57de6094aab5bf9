/**
 * Causal FAVOR+ one token at a time, in constant time and memory: the state is updated and then read.
 *
 *   M' = max(M + g, a_k);   S ← e^{M + g − M'} S + e^{a_k − M'} [v, 1]ᵀ;   [num, den] = softmax(a_q + M')·S
 *
 * with log-features a, the token's logDecay g (0 where keys do not decay), a running maximum M per feature, and the query's scale
 * free to choose. While the state is built this
 * way, the denominator is never below the weight of the largest term, so that nothing can vanish.
 */
import type { Dtype } from '../base/array.js';
import type { Dim } from '../base/dimension.js';
import type { FeatureMap, Features } from '../features/index.js';
import {
  add,
  broadcastTo,
  exp,
  logSumExp,
  matmul,
  max,
  maximum,
  multiply,
  or,
  reshape,
  scalar,
  slice,
  softmax,
  stopGradient,
  subtract,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import { guarded, massOfState } from './guard.js';
import { gatherHeads, groupOf, repeatRows, splitHeads } from './heads.js';
import {
  type AttentionInputs,
  checkInputs,
  expectPositions,
  positionsOf,
  refuseSequenceWide,
  swapHeads,
  withOnes,
  withoutHidden,
} from './layout.js';
import { type AttentionState, decayAfter, decayScale, maskedLogScale, seesKeys } from './state.js';
import { type AttentionTerms, divideTerms } from './terms.js';

/** What attention reads of one token: features are values·e^scale for a key, and as a map gives them for a query. */
export interface TokenFeatures {
  /** Guarded where its denominators need it. */
  readonly map: FeatureMap;
  /** Query heads for each key head. */
  readonly group: number;
  /** [batch, heads, 1, features] */
  readonly query: Features;
  /** [batch, keyHeads, 1, features], or with one column for all features. */
  readonly keyScale: Tensor;
  /** [batch, keyHeads, 1, features]; absent where all are 1. */
  readonly keyValues: Tensor | undefined;
  /** [batch, keyHeads, 1, dim + 1], the last of them 1. */
  readonly value: Tensor;
  /** The scales of the state as the token finds them, [batch, keyHeads, 1, features]: smaller by its own decay, if any. */
  readonly before: Tensor;
  /** Its logDecay [batch, keyHeads], 0 for a hidden token; absent where keys do not decay. */
  readonly logDecay: Tensor | undefined;
}

/** The features of one token that comes after a state. */
export function tokenFeatures(
  where: string,
  given: AttentionInputs,
  features: FeatureMap,
  /** Already smaller by what came after the state, if anything. */
  { logScale }: AttentionState,
): TokenFeatures {
  checkInputs(where, given, true, true);
  const inputs = withoutHidden(given);
  refuseSequenceWide(where, features);
  expectPositions(where, inputs, features, true);
  const [batch, , heads] = inputs.key.shape as [Dim, Dim, Dim, Dim];
  const map = guarded(features);
  const position = positionsOf(where, inputs, map, swapHeads);
  const key = map.key(swapHeads(inputs.key), position.key);
  const logDecay = inputs.logDecay && reshape(inputs.logDecay, [batch, heads]);
  return {
    map,
    group: groupOf(inputs.query, inputs.key),
    query: map.query(swapHeads(inputs.query), position.query),
    keyScale: key.logFeatures ?? broadcastTo(key.logScale ?? scalar(0), [batch, heads, 1, 1]),
    keyValues: key.logFeatures === undefined ? key.values : undefined,
    value: withOnes(swapHeads(inputs.value)),
    before: reshape(decayScale(logScale, logDecay), [batch, heads, 1, map.featureCount]),
    logDecay,
  };
}

/** How a query reads sums whose features stand at scales [batch, keyHeads, 1, features], and the scale of what it reads. */
export function weightsAt({ query, group }: TokenFeatures, scales: Tensor): { weight: Tensor; logScale: Tensor } {
  const { values, logValues, logFeatures, logScale } = query;
  if (logValues !== undefined) {
    const absolute = add(gatherHeads(logFeatures!, group), scales);
    return { weight: softmax(add(gatherHeads(logValues, group), scales)), logScale: logSumExp(absolute, -1, true) };
  }
  const own = gatherHeads(broadcastTo(logScale ?? scalar(0), [...values.shape.slice(0, 3), 1]), group);
  return { weight: gatherHeads(values, group), logScale: add(own, max(scales, -1, true)) };
}

/** The terms of one token's queries from [num, den] [batch, keyHeads, group, dim + 1], and what goes with them. */
export function tokenTerms(
  { group }: TokenFeatures,
  weighted: Tensor,
  { logScale, mass, visible }: { logScale: Tensor; mass: Tensor | undefined; visible: Tensor<'bool'> | undefined },
): AttentionTerms {
  const dim = weighted.staticDim(-1) - 1;
  const own = <D extends Dtype>(x: Tensor<D>) => swapHeads(splitHeads(x, group, 1)); // [batch, 1, heads, ·]
  return {
    numerator: own(slice(weighted, -1, 0, dim)),
    denominator: own(slice(weighted, -1, dim)),
    logScale: own(logScale),
    mass: mass && stopGradient(own(repeatRows(mass, group))),
    visible: visible && own(repeatRows(visible, group)),
  };
}

/** The sums of `recurrentAttention`, and the next state. */
export function recurrentTerms(
  inputs: AttentionInputs,
  features: FeatureMap,
  state: AttentionState,
): { readonly terms: AttentionTerms; readonly state: AttentionState } {
  const token = tokenFeatures('recurrentAttention', inputs, features, state);
  const { map, keyScale, keyValues, value, before, logDecay } = token;
  const [batch, heads] = before.shape as [Dim, Dim];
  const mask = inputs.keyMask === undefined ? undefined : reshape(inputs.keyMask, [batch, 1, 1, 1]);
  const fresh = mask === undefined ? keyScale : where(mask, keyScale, scalar(maskedLogScale));
  const top = stopGradient(maximum(before, fresh)); // [batch, keyHeads, 1, features]
  const relative = exp(subtract(fresh, top));
  const keyWeight = keyValues === undefined ? relative : multiply(keyValues, relative);
  const decay = transpose(exp(subtract(before, top)), [0, 1, 3, 2]); // [batch, keyHeads, features, 1]
  const sum = add(multiply(state.sum, decay), multiply(transpose(keyWeight, [0, 1, 3, 2]), value));
  const { weight, logScale } = weightsAt(token, top);
  const terms = tokenTerms(token, matmul(weight, sum), {
    logScale,
    mass: map.isSigned ? massOfState(sum) : undefined,
    visible: mask && or(mask, seesKeys(max(before, -1, true))),
  });
  const next = { sum, logScale: reshape(top, [batch, heads, map.featureCount]) };
  return { terms, state: { ...next, logDecay: decayAfter(state, logDecay) } };
}

/**
 * One token [batch, 1, heads, dim] attending to itself and to all that `state` has read. A row whose keyMask is false
 * leaves its state as it was. Returns the output [batch, 1, heads, valueDim] and the next state.
 */
export function recurrentAttention(
  inputs: AttentionInputs,
  features: FeatureMap,
  state: AttentionState,
): { output: Tensor; state: AttentionState } {
  const { terms, state: next } = recurrentTerms(inputs, features, state);
  return { output: divideTerms(terms), state: next };
}

/**
 * Causal FAVOR+ one token at a time, in constant time and memory: the state is updated and then read.
 *
 *   M' = max(M, a_k);   S ← e^{M − M'} S + e^{a_k − M'} [v, 1]ᵀ;   [num, den] = softmax(a_q + M')·S
 *
 * with log-features a, a running maximum M per feature, and the query's scale free to choose. While the state is built this
 * way, the denominator is never below the weight of the largest term, so that nothing can vanish.
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap, Features } from '../features/index.js';
import {
  add,
  broadcastTo,
  exp,
  less,
  matmul,
  max,
  maximum,
  multiply,
  or,
  reshape,
  scalar,
  softmax,
  subtract,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import { guarded, massOfState } from './guard.js';
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
import { normalizeOutput } from './normalize.js';
import { type AttentionState, emptyLogScale, maskedLogScale } from './state.js';

/** What attention reads of one token: features are values·e^scale for a key, and as a map gives them for a query. */
export interface TokenFeatures {
  /** Guarded where its denominators need it. */
  readonly map: FeatureMap;
  /** [batch, heads, 1, features] */
  readonly query: Features;
  /** [batch, heads, 1, features], or with one column for all features. */
  readonly keyScale: Tensor;
  /** [batch, heads, 1, features]; absent where all are 1. */
  readonly keyValues: Tensor | undefined;
  /** [batch, heads, 1, dim + 1], the last of them 1. */
  readonly value: Tensor;
  /** The scales of the state, [batch, heads, 1, features]. */
  readonly before: Tensor;
}

/** The features of one token that comes after a state. */
export function tokenFeatures(
  where: string,
  given: AttentionInputs,
  features: FeatureMap,
  { logScale }: AttentionState,
): TokenFeatures {
  checkInputs(where, given, true);
  const inputs = withoutHidden(given);
  refuseSequenceWide(where, features);
  expectPositions(where, inputs, features, true);
  const [batch, , heads] = inputs.query.shape as [Dim, Dim, Dim, Dim];
  const map = guarded(features);
  const position = positionsOf(where, inputs, map, swapHeads);
  const key = map.key(swapHeads(inputs.key), position.key);
  return {
    map,
    query: map.query(swapHeads(inputs.query), position.query),
    keyScale: key.logFeatures ?? broadcastTo(key.logScale ?? scalar(0), [batch, heads, 1, 1]),
    keyValues: key.logFeatures === undefined ? key.values : undefined,
    value: withOnes(swapHeads(inputs.value)),
    before: reshape(logScale, [batch, heads, 1, map.featureCount]),
  };
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
  const [batch, , heads] = inputs.query.shape as [Dim, Dim, Dim, Dim];
  const { map, query, keyScale, keyValues, value, before } = tokenFeatures(
    'recurrentAttention',
    inputs,
    features,
    state,
  );
  const mask = inputs.keyMask === undefined ? undefined : reshape(inputs.keyMask, [batch, 1, 1, 1]);
  const fresh = mask === undefined ? keyScale : where(mask, keyScale, scalar(maskedLogScale));
  const top = maximum(before, fresh); // [batch, heads, 1, features]
  const relative = exp(subtract(fresh, top));
  const keyWeight = keyValues === undefined ? relative : multiply(keyValues, relative);
  const decay = transpose(exp(subtract(before, top)), [0, 1, 3, 2]); // [batch, heads, features, 1]
  const sum = add(multiply(state.sum, decay), multiply(transpose(keyWeight, [0, 1, 3, 2]), value));
  const queryWeight = query.logValues === undefined ? query.values : softmax(add(query.logValues, top));
  const seen = mask === undefined ? undefined : or(mask, less(emptyLogScale / 2, max(before, -1, true)));
  const mass = map.isSigned ? massOfState(sum) : undefined;
  const { output } = normalizeOutput(matmul(queryWeight, sum), { visible: seen, mass });
  return { output: swapHeads(output), state: { sum, logScale: reshape(top, [batch, heads, map.featureCount]) } };
}

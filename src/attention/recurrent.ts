/**
 * Causal FAVOR+ one token at a time, in constant time and memory: the state is updated and then read.
 *
 *   M' = max(M, a_k);   S ← e^{M − M'} S + e^{a_k − M'} [v, 1]ᵀ;   [num, den] = softmax(a_q + M')·S
 *
 * with log-features a, a running maximum M per feature, and the query's scale free to choose. While the state is built this
 * way, the denominator is never below the weight of the largest term, so that nothing can vanish.
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  concatenate,
  exp,
  less,
  matmul,
  max,
  maximum,
  multiply,
  reshape,
  scalar,
  slice,
  softmax,
  subtract,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';
import { guarded } from './guard.js';
import {
  type AttentionInputs,
  checkInputs,
  expectPositions,
  positionsOf,
  refuseSequenceWide,
  swapHeads,
} from './layout.js';
import { normalizeOutput } from './normalize.js';
import { type AttentionState, emptyLogScale, maskedLogScale } from './state.js';

/**
 * One token [batch, 1, heads, dim] attending to itself and to all that `state` has read. A row whose keyMask is false
 * leaves its state as it was. Returns the output [batch, 1, heads, valueDim] and the next state.
 */
export function recurrentAttention(
  inputs: AttentionInputs,
  features: FeatureMap,
  state: AttentionState,
): { output: Tensor; state: AttentionState } {
  checkInputs('recurrentAttention', inputs, true);
  refuseSequenceWide('recurrentAttention', features);
  expectPositions('recurrentAttention', inputs, features, true);
  const [batch, , heads] = inputs.query.shape as [Dim, Dim, Dim, Dim];
  const map = guarded(features);
  const count = map.featureCount;
  const position = positionsOf('recurrentAttention', inputs, map, swapHeads);
  const query = map.query(swapHeads(inputs.query), position.query); // [batch, heads, 1, features]
  const key = map.key(swapHeads(inputs.key), position.key);
  const value = swapHeads(inputs.value); // [batch, heads, 1, dim]
  const before = reshape(state.logScale, [batch, heads, 1, count]);
  const keyScale = key.logFeatures ?? key.logScale ?? broadcastTo(scalar(0), [batch, heads, 1, 1]);
  const mask = inputs.keyMask === undefined ? undefined : reshape(inputs.keyMask, [batch, 1, 1, 1]);
  const fresh = mask === undefined ? keyScale : where(mask, keyScale, scalar(maskedLogScale));
  const top = maximum(before, fresh); // [batch, heads, 1, features]
  const keyWeight =
    key.logFeatures === undefined ? multiply(key.values, exp(subtract(fresh, top))) : exp(subtract(fresh, top));
  const one = broadcastTo(scalar(1), [batch, heads, 1, 1]);
  const extended = concatenate([value, one], -1); // [batch, heads, 1, dim + 1]
  const decay = transpose(exp(subtract(before, top)), [0, 1, 3, 2]); // [batch, heads, features, 1]
  const sum = add(multiply(state.sum, decay), multiply(transpose(keyWeight, [0, 1, 3, 2]), extended));
  const queryWeight = query.logValues === undefined ? query.values : softmax(add(query.logValues, top));
  const seen = mask === undefined ? undefined : less(emptyLogScale / 2, max(top, -1, true));
  const mass = map.isSigned ? slice(slice(sum, -1, sum.staticDim(-1) - 1), 2, count - 1) : undefined;
  const { output } = normalizeOutput(matmul(queryWeight, sum), { visible: seen, mass });
  return { output: swapHeads(output), state: { sum, logScale: reshape(top, [batch, heads, count]) } };
}

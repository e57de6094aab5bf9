/**
 * Bidirectional (and cross) FAVOR+ (Choromanski et al. 2021, eq. 4): S = KᵀṼ, [num, den] = Q S, with Ṽ = [V, 1].
 *
 * The maximum of the keys' logScale is subtracted over the sequence; it cancels exactly and needs no gradient.
 */
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  cast,
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
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { guarded, lastEntry } from './guard.js';
import { type AttentionInputs, checkInputs, positionsOf, swapHeads } from './layout.js';
import { normalizeOutput } from './normalize.js';
import { emptyLogScale, headroom, maskedLogScale } from './state.js';

/**
 * Attention of every query to every key through a feature map, in time and memory linear in both lengths:
 * [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function bidirectionalAttention(inputs: AttentionInputs, features: FeatureMap): Tensor {
  checkInputs('bidirectionalAttention', inputs, false);
  const { keyMask } = inputs;
  const [batch, keys] = inputs.key.shape;
  const map = guarded(features);
  const position = positionsOf('bidirectionalAttention', inputs, map, swapHeads);
  const query = map.query(swapHeads(inputs.query), position.query).values; // [batch, heads, queries, features]
  const keyFeatures = map.key(swapHeads(inputs.key), position.key);
  const key = keyFeatures.values;
  const value = swapHeads(inputs.value);
  const dim = value.staticDim(-1);
  const plain = keyFeatures.logScale ?? broadcastTo(scalar(0), [...key.shape.slice(0, 3), 1]);
  const mask = keyMask === undefined ? undefined : reshape(keyMask, [batch!, 1, keys!, 1]);
  const logScale = mask === undefined ? plain : where(mask, plain, scalar(maskedLogScale));

  const top = maximum(max(logScale, 2, true), emptyLogScale); // [batch, heads, 1, 1]
  const weight = multiply(exp(subtract(logScale, top)), headroom); // [batch, heads, keys, 1]
  const extended = concatenate([multiply(value, weight), weight], -1); // Ṽ
  const sums = matmul(key, extended, { transposeLeft: true }); // S: [batch, heads, features, dim + 1]
  // A sequence without any key gives zeros.
  const visible = mask === undefined ? undefined : less(0, max(cast(mask, 'int32'), 2, true));
  const mass = map.isSigned ? lastEntry(sums) : undefined; // [batch, heads, 1, 1]
  const { output, gradient } = normalizeOutput(matmul(query, sums), { visible, mass });

  const [result] = withGradient([query, key, logScale, value], [output], ([g]) => {
    const gWeighted = gradient(g!);
    const gSums = matmul(query, gWeighted, { transposeLeft: true });
    const gExtended = matmul(key, gSums);
    return [
      matmul(gWeighted, sums, { transposeRight: true }),
      matmul(extended, gSums, { transposeRight: true }),
      sum(multiply(extended, gExtended), -1, true),
      multiply(slice(gExtended, -1, 0, dim), weight),
    ];
  });
  return swapHeads(result!);
}

/**
 * Bidirectional (and cross) FAVOR+ (Choromanski et al. 2021, eq. 4): S = KᵀṼ, [num, den] = Q S, with Ṽ = [V, 1].
 *
 * The maximum of the keys' logScale is subtracted over the sequence; it cancels exactly and needs no gradient. Where
 * float32 loses weights that count (loss.ts), outputs and gradients are computed in log space (bidirectional-log-space.ts).
 */
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  cast,
  concatenate,
  conditional,
  exp,
  less,
  matmul,
  max,
  maximum,
  multiply,
  reshape,
  scalar,
  scope,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import {
  type LogSpaceInputs,
  logSpaceBidirectional,
  logSpaceBidirectionalGradient,
} from './bidirectional-log-space.js';
import { guarded, lastEntry } from './guard.js';
import { type AttentionInputs, checkInputs, positionsOf, swapHeads } from './layout.js';
import { isLossy } from './loss.js';
import { normalizeOutput, weightedGradient } from './normalize.js';
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
  const readQuery = () => map.query(swapHeads(inputs.query), position.query); // [batch, heads, queries, features]
  const readKey = () => map.key(swapHeads(inputs.key), position.key);
  const [queryFeatures, keyFeatures] = [readQuery(), readKey()];
  const [query, key] = [queryFeatures.values, keyFeatures.values];
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
  const weighted = matmul(query, sums); // [batch, heads, queries, dim + 1]
  const gradients = (gWeighted: Tensor) => {
    const gSums = matmul(query, gWeighted, { transposeLeft: true });
    const gExtended = matmul(key, gSums);
    return {
      gQuery: matmul(gWeighted, sums, { transposeRight: true }),
      gKey: matmul(extended, gSums, { transposeRight: true }),
      gExtended,
      gValue: multiply(slice(gExtended, -1, 0, dim), weight),
    };
  };

  const [queryLog, keyLog] = [queryFeatures.logValues, keyFeatures.logFeatures];
  if (queryLog === undefined || keyLog === undefined) {
    const mass = map.isSigned ? lastEntry(sums) : undefined; // [batch, heads, 1, 1]
    const { output, gradient } = normalizeOutput(weighted, { visible, mass });
    const [result] = withGradient([query, key, logScale, value], [output], ([g]) => {
      const { gQuery, gKey, gExtended, gValue } = gradients(gradient(g!));
      return [gQuery, gKey, sum(multiply(extended, gExtended), -1, true), gValue];
    });
    return swapHeads(result!);
  }

  // Written inside of the branches that call it, the features among it.
  const logSpace = (): LogSpaceInputs => {
    const logKey = readKey().logFeatures!;
    return {
      query: readQuery().logValues!,
      key: mask === undefined ? logKey : where(mask, logKey, scalar(maskedLogScale)),
      value,
    };
  };
  const lossy = isLossy(weighted, slice(weighted, -1, dim), sum(weight, 2, true), query.staticDim(-1), visible);
  const [output, inverse] = conditional(
    lossy,
    () => scope('logSpace', () => logSpaceBidirectional(logSpace())),
    () => {
      const fast = normalizeOutput(weighted, { visible });
      return [fast.output, fast.inverse];
    },
  ) as [Tensor, Tensor];
  const [result] = withGradient([queryLog, keyLog, value], [output], ([g]) => {
    const gWeighted = weightedGradient(g!, output, inverse);
    return conditional(
      lossy,
      () => scope('logSpace', () => logSpaceBidirectionalGradient(logSpace(), gWeighted)),
      () => {
        const { gQuery, gKey, gValue } = gradients(gWeighted);
        return [multiply(query, gQuery), multiply(key, gKey), gValue];
      },
    );
  });
  return swapHeads(result!);
}

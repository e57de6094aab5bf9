/**
 * Positive features shaped to the queries and keys at hand: FAVOR++ (OPRF, Likhosherstov et al. 2022, arXiv 2205.15317)
 * and FAVOR# (SDERF and ADERF, 2023, arXiv 2302.00787). For x scaled by dim^(−1/4), rows ω of Ω, z = Tx and a curvature a_l < 1/8,
 *
 *   φ_f(x) = Π_l (1 − 4a_l)^{1/4} · exp(Σ_l a_l ω_l² + Σ_l √(1 − 4a_l) ω_l z_l − |z|²/2) / √features
 *
 * estimates exp(T_q q · T_k k), without bias, for any a. OPRF has T = I and one a; SDERF a rotation T and an a for each
 * direction; ADERF different T for queries and keys with T_qᵀT_k = I. SM+ is a = 0. T and a come from moments of queries
 * and keys (`shapeFromMoments`), which must be those of earlier data where attention is causal: nothing leaks. Right for
 * rows up to a norm of 10¹⁸, as positive features are (`positive.ts`).
 */

import { sameDim } from '../base/dimension.js';
import {
  add,
  broadcastTo,
  concatenate,
  log,
  matmul,
  multiply,
  reshape,
  scalar,
  sqrt,
  square,
  stopGradient,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { featureFamily, need, projectionBuffer } from './family.js';
import type { FeatureMap, Features } from './feature-map.js';
import { attentionScale, exponentialFeatures, halfSquaredNorm } from './gauge.js';
import { shapeLayout } from './moments.js';
import type { FeatureShape, ShapeMethod } from './parts.js';

/**
 * Features shaped by moments over a projection Ω [features, dim]; rows come as [..., heads, length, dim]. T of OPRF and
 * SDERF must be a rotation, so that |Tx| = |x|.
 *
 * The logarithm is one product: [x, 1]·[√(1 − 4a)∘Ω·T, Σ aω² + ¼ Σ log(1 − 4a)]ᵀ, the right side small.
 */
export function shapedFeatures(method: ShapeMethod, projection: Tensor, shape: FeatureShape): FeatureMap {
  const frozen = stopGradient(projection);
  const [heads, dim] = [shape.curvature.staticDim(0), shape.curvature.staticDim(1)];
  const scale = attentionScale(projection);
  const curvature = reshape(stopGradient(shape.curvature), [heads, 1, dim]);
  const widening = subtract(1, multiply(curvature, 4)); // 1 − 4a: [heads, 1, dim]
  const widened = multiply(frozen, sqrt(widening)); // [heads, features, dim]
  const offset = add(
    matmul(square(frozen), curvature, { transposeRight: true }), // Σ_l a_l ω_l²: [heads, features, 1]
    multiply(sum(log(widening), -1, true), 0.25),
  );
  const features = (transform: Tensor) => {
    const fixed = stopGradient(transform);
    const weights = concatenate([matmul(widened, fixed, { scale }), offset], -1); // [heads, features, dim + 1]
    return (x: Tensor): Features => {
      const one = broadcastTo(scalar(1), [...x.shape.slice(0, -1), 1]);
      const own = forHeadsOf(x, weights);
      const u = matmul(concatenate([x, one], -1), own, { transposeRight: true }); // [..., length, features]
      const halfNorm =
        method === 'aderf'
          ? halfSquaredNorm(matmul(x, forHeadsOf(x, fixed), { transposeRight: true, scale }), 1)
          : halfSquaredNorm(x, scale);
      return exponentialFeatures(u, halfNorm);
    };
  };
  return {
    name: method,
    featureCount: projection.staticDim(0),
    query: features(shape.query),
    key: features(shape.key),
  };
}

/** What each key head has, [keyHeads, ·, ·], for the heads of rows [..., heads, length, dim]: as many in a row share one. */
function forHeadsOf(x: Tensor, parts: Tensor): Tensor {
  const [keyHeads, rows, columns] = parts.shape as [number, number, number];
  if (sameDim(x.dim(-3), keyHeads)) return parts;
  const group = x.staticDim(-3) / keyHeads;
  const copies = broadcastTo(reshape(parts, [keyHeads, 1, rows, columns]), [keyHeads, group, rows, columns]);
  return reshape(copies, [keyHeads * group, rows, columns]);
}

function shapedFamily<const N extends ShapeMethod>(name: N, text: string) {
  return featureFamily({
    name,
    text,
    own: {},
    hasRandomRows: true,
    shaping: name,
    isSigned: () => false,
    buffers: (options, heads) => ({ ...projectionBuffer(options), shape: shapeLayout(heads, options.headDim) }),
    build: (_, { projection, shape }) =>
      shapedFeatures(name, need(projection, 'a projection', name), need(shape, 'a shape', name)),
  });
}

export const shapedFamilies = [
  shapedFamily('oprf', 'FAVOR++: positive features with one curvature from the moments of queries and keys'),
  shapedFamily('sderf', 'FAVOR#: a rotation and a curvature for each direction'),
  shapedFamily('aderf', 'FAVOR#: different transforms of queries and keys'),
] as const;

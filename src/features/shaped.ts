/**
 * Positive features shaped to the queries and keys at hand: FAVOR++ (OPRF, Likhosherstov et al. 2022, arXiv 2205.15317)
 * and FAVOR# (SDERF and ADERF, 2023, arXiv 2302.00787). For x scaled by dim^(−1/4), rows ω of Ω, z = Tx and a curvature a_l < 1/8,
 *
 *   φ_f(x) = Π_l (1 − 4a_l)^{1/4} · exp(Σ_l a_l ω_l² + Σ_l √(1 − 4a_l) ω_l z_l − |z|²/2) / √features
 *
 * estimates exp(T_q q · T_k k), without bias, for any a. OPRF has T = I and one a; SDERF a rotation T and an a for each
 * direction; ADERF different T for queries and keys with T_qᵀT_k = I. SM+ is a = 0. T and a come from moments of queries
 * and keys (`shapeFromMoments`), which must be those of earlier data where attention is causal: nothing leaks.
 */
import {
  add,
  log,
  matmul,
  multiply,
  reshape,
  sqrt,
  square,
  stopGradient,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import type { FeatureMap, Features } from './feature-map.js';
import { attentionScale, exponentialFeatures, halfSquaredNorm } from './gauge.js';

/** The shape of the features of each head; see `shapeFromMoments`. */
export interface FeatureShape<T = Tensor> {
  /** T_q and T_k, [heads, dim, dim], for x scaled by dim^(−1/4). */
  readonly query: T;
  readonly key: T;
  /** a, [heads, dim]. */
  readonly curvature: T;
}

/** Features shaped by moments over a projection Ω [features, dim]; rows come as [..., heads, length, dim]. */
export function shapedFeatures(name: string, projection: Tensor, shape: FeatureShape): FeatureMap {
  const frozen = stopGradient(projection);
  const [heads, dim] = [shape.curvature.staticDim(0), shape.curvature.staticDim(1)];
  const curvature = reshape(stopGradient(shape.curvature), [heads, 1, dim]);
  const widening = subtract(1, multiply(curvature, 4)); // 1 − 4a: [heads, 1, dim]
  const root = sqrt(widening);
  // Σ_l a_l ω_l² + ¼ Σ_l log(1 − 4a_l): [heads, 1, features]
  const offset = add(
    matmul(curvature, square(frozen), { transposeRight: true }),
    multiply(sum(log(widening), -1, true), 0.25),
  );
  const features = (transform: Tensor) => {
    const fixed = stopGradient(transform);
    return (x: Tensor): Features => {
      const z = matmul(x, fixed, { transposeRight: true, scale: attentionScale(x) }); // [..., length, dim]
      const u = add(matmul(multiply(z, root), frozen, { transposeRight: true }), offset); // [..., length, features]
      return exponentialFeatures(u, halfSquaredNorm(z, 1));
    };
  };
  return {
    name,
    featureCount: projection.staticDim(0),
    query: features(shape.query),
    key: features(shape.key),
  };
}

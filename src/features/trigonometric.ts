/**
 * Trigonometric features (Rahimi & Recht 2007; section 2.3 of the paper, where they serve as the opponent): for x scaled
 * by dim^(−1/4) and rows ω of Ω ~ N(0, I),
 *
 *   φ(x) = exp(|x|²/2) · √(2/features) · [sin Ωx, cos Ωx],   E[φ(q)·φ(k)] = exp(q·k/√dim).
 *
 * Unbiased, and signed: a small kernel value drowns in the noise, and a denominator can come out negative. For the
 * Gaussian kernel there is no factor in front, and |φ(x)| = 1.
 */
import { concatenate, cos, matmul, multiply, sin, stopGradient, type Tensor } from '../graph/index.js';
import type { FeatureMap, Features } from './feature-map.js';
import { halfSquaredNorm } from './gauge.js';
import { type GaussianOptions, gaussianScale } from './gaussian.js';

/** sin/cos features over a projection Ω [features/2, dim]. */
export function trigonometricFeatures(projection: Tensor, options: GaussianOptions = {}): FeatureMap {
  const frozen = stopGradient(projection);
  const count = projection.staticDim(0);
  const { scale, normWeight } = gaussianScale(projection, options, -1);
  const features = (x: Tensor): Features => {
    const u = matmul(x, frozen, { transposeRight: true, scale }); // [..., features/2]
    const values = multiply(concatenate([sin(u), cos(u)], -1), count ** -0.5);
    if (normWeight === 0) return { values };
    return { values, logScale: halfSquaredNorm(x, scale) };
  };
  return { name: 'trigonometric', featureCount: 2 * count, isSigned: true, query: features, key: features };
}

/**
 * Trigonometric features (Rahimi & Recht 2007; section 2.3 of the paper, where they serve as the opponent): for x scaled
 * by dim^(−1/4) and rows ω of Ω ~ N(0, I),
 *
 *   φ(x) = exp(|x|²/2) · √(2/features) · [sin Ωx, cos Ωx],   E[φ(q)·φ(k)] = exp(q·k/√dim).
 *
 * Unbiased, and signed: a small kernel value drowns in the noise, and a denominator can come out negative. For the
 * Gaussian kernel there is no factor in front, and |φ(x)| = 1.
 *
 * Keys weigh e^{|k|²/(2√dim)} and nothing tames that: with queries and keys of standard deviation σ the logarithm of the
 * weights has a standard deviation of σ²/√2, so that one key takes all from σ = 4 on. In causal attention each row has a
 * scale of its own: a later key, however large, takes nothing from it (attention/causal-rows.ts).
 *
 * Ωx is off by 2⁻²⁴ of its size in float32, and the features with it: they estimate the kernel for norms up to some 10⁴.
 * Beyond, outputs are numbers without a meaning, and NaN for norms that float32 cannot square, from 10¹⁹ on.
 */

import { add, concatenate, cos, matmul, sin, stopGradient, type Tensor } from '../graph/index.js';
import { featureFamily, need, projectionBuffer } from './family.js';
import type { FeatureMap, Features } from './feature-map.js';
import { constantLogScale, halfSquaredNorm } from './gauge.js';
import { type GaussianOptions, gaussianScale } from './gaussian.js';

/** sin/cos features over a projection Ω [features/2, dim]. */
export function trigonometricFeatures(projection: Tensor, options: GaussianOptions = {}): FeatureMap {
  const frozen = stopGradient(projection);
  const count = projection.staticDim(0);
  const { scale, normWeight } = gaussianScale(projection, options, -1);
  const features = (x: Tensor): Features => {
    const u = matmul(x, frozen, { transposeRight: true, scale }); // [..., features/2]
    const values = concatenate([sin(u), cos(u)], -1);
    const factor = constantLogScale(count ** -0.5);
    return { values, logScale: normWeight === 0 ? factor : add(halfSquaredNorm(x, scale), factor) };
  };
  return { name: 'trigonometric', featureCount: 2 * count, isSigned: true, query: features, key: features };
}

export const trigonometricFamily = featureFamily({
  name: 'trigonometric',
  text: 'sines and cosines: softmax without bias, but with negative weights',
  own: {},
  hasRandomRows: true,
  multiple: 2,
  isSigned: () => true,
  buffers: (options) => projectionBuffer(options, options.featureCount / 2),
  build: (_, { projection }) => trigonometricFeatures(need(projection, 'a projection', 'trigonometric')),
});

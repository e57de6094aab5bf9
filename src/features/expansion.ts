/** The Taylor expansion of a kernel as a feature map: exact for the truncated kernel, for small dims and degrees. */
import type { TaylorExpansion } from '../kernels/index.js';
import type { FeatureMap } from './feature-map.js';

/**
 * Features [..., C(dim + degree, degree)] of `kernel.taylor(degree)`. A truncated series can be negative, so that attention
 * guards its denominators.
 */
export function expansionFeatures(expansion: TaylorExpansion, dim: number): FeatureMap {
  const features = (x: Parameters<TaylorExpansion['features']>[0]) => ({ values: expansion.features(x) });
  return {
    name: `expansion of degree ${expansion.degree}`,
    featureCount: expansion.featureCount(dim),
    isSigned: true,
    query: features,
    key: features,
  };
}

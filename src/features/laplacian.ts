/**
 * Random features of the Laplacian kernel exp(−γ Σᵢ|xᵢ − yᵢ|) (Rahimi & Recht 2007): its Fourier transform is a product of
 * Cauchy densities, so for rows ω of independent standard Cauchy deviates
 *
 *   φ(x) = √(2/features) · [sin γΩx, cos γΩx],   E[φ(x)·φ(y)] = exp(−γ|x − y|₁).
 *
 * Signed, and |φ(x)| = 1. The frequencies have no mean: rows are independent, and nothing like orthogonality applies.
 */
import { float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { concatenate, cos, matmul, multiply, sin, stopGradient, type Tensor } from '../graph/index.js';
import type { FeatureMap } from './feature-map.js';
import { expectCounts, expectEntries } from './projection.js';

/** Independent standard Cauchy deviates [count, dim], as quotients of normal ones. Throws CONFIG as `expectEntries`. */
export function drawCauchy(random: Random, count: number, dim: number): HostTensor {
  expectCounts('drawCauchy', { count, dim });
  expectEntries('drawCauchy', count, dim);
  const above = random.split('numerators').normals(count * dim);
  const below = random.split('denominators').normals(count * dim);
  return float32(
    [count, dim],
    above.map((value, at) => value / (below[at] as number)),
  );
}

/** sin/cos features over Cauchy frequencies Ω [features/2, dim] (`drawCauchy`). Throws CONFIG unless γ > 0. */
export function laplacianFeatures(frequencies: Tensor, { gamma }: { readonly gamma: number }): FeatureMap {
  if (!(gamma > 0 && gamma < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `laplacianFeatures: expected gamma > 0, got ${gamma}.`);
  }
  const frozen = stopGradient(frequencies);
  const count = frequencies.staticDim(0);
  const features = (x: Tensor) => {
    const u = matmul(x, frozen, { transposeRight: true, scale: gamma }); // [..., features/2]
    return { values: multiply(concatenate([sin(u), cos(u)], -1), count ** -0.5) };
  };
  return { name: 'laplacian', featureCount: 2 * count, isSigned: true, query: features, key: features };
}

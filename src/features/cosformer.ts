/**
 * cosFormer (Qin et al. 2022, arXiv 2202.08791): relu features that prefer near tokens. For positions i and j and x scaled
 * by dim^(−1/4),
 *
 *   φ(x, i) = relu(x) · [cos(πi/2M), sin(πi/2M)],   φ(q, i)·φ(k, j) = relu(q)·relu(k) · cos(π(i − j)/2M).
 *
 * Rows may have norms up to 10¹⁵; beyond, sums leave float32 and outputs are NaN. Tokens M or more apart get a negative weight, so M (`span`) should be the longest distance that a model reads.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { option } from '../base/options.js';
import { concatenate, cos, multiply, relu, sin, type Tensor } from '../graph/index.js';
import { featureFamily } from './family.js';
import type { FeatureMap } from './feature-map.js';
import { attentionScale } from './gauge.js';
import { expectCounts } from './projection.js';

/** Features [..., 2·dim]. Throws CONFIG unless the dim is a positive integer and span > 0. */
export function cosformerFeatures(dim: number, span: number): FeatureMap {
  expectCounts('cosformerFeatures', { dim });
  if (!(span > 0 && span < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `cosformerFeatures: expected a span above 0, got ${span}.`);
  }
  const features = (x: Tensor, position?: Tensor) => {
    if (position === undefined) {
      throw new PerformerError(
        'CONFIG',
        'cosformerFeatures: expected positions, got none. Give them to the attention.',
      );
    }
    const angle = multiply(position, Math.PI / (2 * span)); // [..., length, 1]
    const y = relu(multiply(x, attentionScale(x)));
    return { values: concatenate([multiply(y, cos(angle)), multiply(y, sin(angle))], -1) };
  };
  return {
    name: 'cosformer',
    featureCount: 2 * dim,
    isSigned: true,
    usesPosition: true,
    query: features,
    key: features,
  };
}

export const cosformerFamily = featureFamily({
  name: 'cosformer',
  text: 'relu with weights that fall with the distance',
  own: {
    span: option(
      z
        .number()
        .positive()
        .max(2 ** 31)
        .optional(),
      'of cosformer features: the longest distance in tokens',
      {
        flag: 'position-span',
        fallback: '4096',
      },
    ),
  },
  fixedCount: (dim) => 2 * dim,
  isSigned: () => true,
  build: ({ headDim, span }) => cosformerFeatures(headDim, span ?? 4096),
});

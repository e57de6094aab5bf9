/**
 * Learned features (Hedgehog, Zhang et al. 2024, arXiv 2402.04347): φ(x) = [softmax(Wx), softmax(−Wx)], W trained with
 * the model or to a teacher's attention. W = 2·I is their first value. Right for rows with |Wx| up to 10¹⁸.
 */

import { diagonal } from '../base/layout.js';
import { concatenate, logSumExp, matmul, negate, softmax, subtract, type Tensor } from '../graph/index.js';
import { featureFamily, need } from './family.js';
import type { FeatureMap, Features } from './feature-map.js';
import type { LearnedFeatureParams } from './parts.js';

/** Features [..., 2·dim] of rows [..., heads, length, dim]. */
export function learnedFeatures({ query, key }: LearnedFeatureParams): FeatureMap {
  const features =
    (weight: Tensor) =>
    (x: Tensor): Features => {
      const u = matmul(x, weight);
      const sides = [u, negate(u)];
      const logFeatures = concatenate(
        sides.map((side) => subtract(side, logSumExp(side, -1, true))),
        -1,
      );
      return {
        values: concatenate(sides.map(softmax), -1),
        logValues: logFeatures,
        logFeatures,
      };
    };
  return {
    name: 'hedgehog',
    featureCount: 2 * query.staticDim(-1),
    learned: [query, key],
    query: features(query),
    key: features(key),
  };
}

export const hedgehogFamily = featureFamily({
  name: 'hedgehog',
  text: 'softmax of a learned square product and of its negative; learned with the model',
  own: {},
  fixedCount: (dim) => 2 * dim,
  isSigned: () => false,
  learned({ headDim }, heads) {
    const weight = diagonal([heads, headDim, headDim], 2);
    return { query: weight, key: weight };
  },
  build: (_, { learned }) => learnedFeatures(need(learned, 'learned weights', 'hedgehog')),
});

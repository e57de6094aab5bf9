/**
 * Learned features (Hedgehog, Zhang et al. 2024, arXiv 2402.04347): φ(x) = [softmax(Wx), softmax(−Wx)], W trained with
 * the model or to a teacher's attention. W = 2·I is their first value.
 */
import { concatenate, matmul, negate, softmax, type Tensor } from '../graph/index.js';
import type { FeatureMap } from './feature-map.js';

export interface LearnedFeatureParams<T = Tensor> {
  /** [heads, dim, dim], of the queries and of the keys. */
  readonly query: T;
  readonly key: T;
}

/** Features [..., 2·dim] of rows [..., heads, length, dim]. */
export function learnedFeatures({ query, key }: LearnedFeatureParams): FeatureMap {
  const features = (weight: Tensor) => (x: Tensor) => {
    const u = matmul(x, weight);
    return { values: concatenate([softmax(u), softmax(negate(u))], -1) };
  };
  return { name: 'hedgehog', featureCount: 2 * query.staticDim(-1), query: features(query), key: features(key) };
}

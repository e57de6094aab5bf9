/**
 * What attention keeps of blocks of keys: for each feature the sum of the weighted values, and of the weights alone.
 *
 * Inside of the loops a feature is a column, and values and weights are apart: [dim, features] with a dim of 64 takes the
 * engine's fastest products, [features, dim + 1] a fifth longer.
 */
import { add, concatenate, exp, matmul, multiply, reshape, slice, subtract, type Tensor } from '../graph/index.js';
import type { KeyRows } from './rows.js';
import { raiseBy } from './state.js';

/** The weights e^{logScale − scale} times `headroom` (see state.ts), [..., 1]. */
export function weightsOf(logScale: Tensor, scale: Tensor, headroom: number): Tensor {
  return raiseBy(exp(subtract(logScale, scale)), headroom);
}

/** The sums of blocks of keys. */
export interface FeatureSums {
  /** (w∘V)ᵀ K [batch, heads, dim, features] */
  readonly values: Tensor;
  /** wᵀ K [batch, heads, 1, features] */
  readonly weights: Tensor;
}

/** The features and values of blocks of keys. */
type BlockKeys = Pick<KeyRows, 'value'> & { readonly features: Pick<KeyRows['features'], 'values'> };

/** The sums of a block of keys with weights w [..., block, 1]. */
export function sumsOf({ features, value }: BlockKeys, weight: Tensor): FeatureSums {
  const { shape } = weight;
  const row = reshape(weight, [...shape.slice(0, 2), 1, shape[2]!]);
  return {
    values: matmul(multiply(value, weight), features.values, { transposeLeft: true }),
    weights: matmul(row, features.values),
  };
}

/** Query features [..., block, features] times sums: numerators [..., block, dim] and denominators [..., block, 1]. */
export function readSums(query: Tensor, { values, weights }: FeatureSums): { numerator: Tensor; denominator: Tensor } {
  const { shape } = weights;
  return {
    numerator: matmul(query, values, { transposeRight: true }),
    denominator: matmul(query, reshape(weights, [...shape.slice(0, 2), shape[3]!, 1])),
  };
}

/** Sums multiplied by a factor [batch, heads, 1, 1]. */
export function scaleSums({ values, weights }: FeatureSums, factor: Tensor): FeatureSums {
  return { values: multiply(values, factor), weights: multiply(weights, factor) };
}

export function addSums(a: FeatureSums, b: FeatureSums): FeatureSums {
  return { values: add(a.values, b.values), weights: add(a.weights, b.weights) };
}

/** Both in one, the weights last: [..., dim + 1, features]; and apart again. */
export function joinSums({ values, weights }: FeatureSums): Tensor {
  return concatenate([values, weights], -2);
}

export function splitSums(joined: Tensor): FeatureSums {
  const dim = joined.staticDim(-2) - 1;
  return { values: slice(joined, -2, 0, dim), weights: slice(joined, -2, dim) };
}

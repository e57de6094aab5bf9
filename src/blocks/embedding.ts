/** Tables of vectors: token embeddings and learned positions. */

import { drawn, type ParameterSpec } from '../base/layout.js';
import { type Tensor, takeRows } from '../graph/index.js';

/** A table with a row for each token. */
export interface EmbeddingParams<T = Tensor> {
  /** [count, dim] */
  readonly weight: T;
}

/** The standard deviation of the first values. */
export const embeddingDeviation = 0.02;

/** The layout of a table of `count` rows of width `dim`. */
export function embeddingLayout(count: number, dim: number): EmbeddingParams<ParameterSpec> {
  return { weight: drawn([count, dim], embeddingDeviation) };
}

/** indices [...] → [..., dim] */
export function embed({ weight }: EmbeddingParams, indices: Tensor<'int32' | 'int64'>): Tensor {
  return takeRows(weight, indices);
}

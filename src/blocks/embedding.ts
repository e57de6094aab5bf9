/** Tables of vectors: token embeddings and learned positions. */

import { drawn, type ParameterSpec } from '../base/layout.js';
import { type Tensor, takeRows } from '../graph/index.js';

/** A table with a row for each token. */
export interface EmbeddingParams<T = Tensor> {
  /** [count, dim] */
  readonly weight: T;
}

/** The layout of a table of `count` rows of width `dim`, whose first values have this standard deviation. */
export function embeddingLayout(count: number, dim: number, deviation: number): EmbeddingParams<ParameterSpec> {
  return { weight: drawn([count, dim], deviation) };
}

/** indices [...] → [..., dim] */
export function embed({ weight }: EmbeddingParams, indices: Tensor<'int32' | 'int64'>): Tensor {
  return takeRows(weight, indices);
}

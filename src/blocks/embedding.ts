/** Tables of vectors: token embeddings and learned positions. */

import { drawn, type ParameterSpec } from '../base/layout.js';
import { type Tensor, takeRows } from '../graph/index.js';

export interface EmbeddingParams<T = Tensor> {
  /** [count, dim] */
  readonly weight: T;
}

export function embeddingLayout(count: number, dim: number): EmbeddingParams<ParameterSpec> {
  return { weight: drawn([count, dim], 0.02) };
}

/** indices [...] → [..., dim] */
export function embed({ weight }: EmbeddingParams, indices: Tensor<'int32' | 'int64'>): Tensor {
  return takeRows(weight, indices);
}

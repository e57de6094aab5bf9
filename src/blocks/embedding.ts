/** Tables of vectors: token embeddings and learned positions. */
import { float32, type HostTensor } from '../base/array.js';
import type { Random } from '../base/random.js';
import { type Tensor, takeRows } from '../graph/index.js';

export interface EmbeddingParams<T = Tensor> {
  /** [count, dim] */
  readonly weight: T;
}

export function initEmbedding(random: Random, count: number, dim: number): EmbeddingParams<HostTensor> {
  return {
    weight: float32(
      [count, dim],
      random.normals(count * dim).map((value) => value * 0.02),
    ),
  };
}

/** indices [...] → [..., dim] */
export function embed({ weight }: EmbeddingParams, indices: Tensor): Tensor {
  return takeRows(weight, indices);
}

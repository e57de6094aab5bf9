/** What models of single tokens share: a table of embeddings, and logits that may use the same table. */
import type { ParameterSpec } from '../base/layout.js';
import { type EmbeddingParams, embeddingLayout, type LinearParams, linear, linearLayout } from '../blocks/index.js';
import { matmul, scope, type Tensor } from '../graph/index.js';
import type { TokenConfig } from './model.js';
import { type TrunkParams, trunkTables } from './trunk.js';

export interface TokenModelParams<T = Tensor> extends TrunkParams<T> {
  readonly embedding: EmbeddingParams<T>;
  /** [dim, vocabulary]; absent where it is tied to the embedding. */
  readonly logits?: LinearParams<T> | undefined;
}

export type TokenModelConfig = TokenConfig & { readonly tiedEmbedding: boolean };

/** The parameters around those of the trunk, and the tables among them. */
export function tokenModelLayout(
  { dim, vocabularySize, tiedEmbedding }: TokenModelConfig,
  trunk: TrunkParams<ParameterSpec>,
): { readonly params: TokenModelParams<ParameterSpec>; readonly tables: readonly string[] } {
  return {
    params: {
      embedding: embeddingLayout(vocabularySize, dim),
      ...trunk,
      logits: tiedEmbedding ? undefined : linearLayout(dim, vocabularySize),
    },
    tables: [...trunkTables, ...(tiedEmbedding ? [] : ['embedding.weight'])],
  };
}

/** hidden [batch, length, dim] → logits [batch, length, vocabulary]. */
export function tokenLogits({ params }: { readonly params: object }, hidden: Tensor): Tensor {
  const { embedding, logits } = params as TokenModelParams;
  return scope('logits', () => {
    if (logits !== undefined) return linear(logits, hidden);
    return matmul(hidden, embedding.weight, { transposeRight: true });
  });
}

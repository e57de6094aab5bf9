/** What models of single tokens share: a table of embeddings, and logits that may use the same table. */
import * as z from 'zod';
import { filled, type ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { type EmbeddingParams, embeddingLayout, type LinearParams, linear, linearLayout } from '../blocks/index.js';
import { add, matmul, scope, type Tensor } from '../graph/index.js';
import type { TokenConfig } from './model.js';
import { type TrunkParams, trunkTables } from './trunk.js';

export interface TokenModelParams<T = Tensor> extends TrunkParams<T> {
  readonly embedding: EmbeddingParams<T>;
  /** weight [dim, vocabulary], absent where it is tied to the embedding; bias [vocabulary]. */
  readonly logits?: Partial<LinearParams<T>> | undefined;
}

/** Options of logits, whose default of `tiedEmbedding` each family has. */
export function logitsFields(isTied: boolean) {
  return {
    tiedEmbedding: option(z.boolean().default(isTied), 'the logits use the embedding'),
    logitsBias: option(z.boolean().optional(), 'the logits have a bias', { fallback: 'unless they use the embedding' }),
  };
}

export type TokenModelConfig = TokenConfig & {
  readonly tiedEmbedding: boolean;
  readonly logitsBias?: boolean | undefined;
};

/** The parameters around those of the trunk, and the tables among them. */
export function tokenModelLayout(
  { dim, vocabularySize, tiedEmbedding, logitsBias = !tiedEmbedding }: TokenModelConfig,
  trunk: TrunkParams<ParameterSpec>,
): { readonly params: TokenModelParams<ParameterSpec>; readonly tables: readonly string[] } {
  const logitsLayout = () => {
    if (!tiedEmbedding) return linearLayout(dim, vocabularySize, { bias: logitsBias });
    return logitsBias ? { bias: filled([vocabularySize], 0) } : undefined;
  };
  return {
    params: {
      embedding: embeddingLayout(vocabularySize, dim),
      ...trunk,
      logits: logitsLayout(),
    },
    tables: [...trunkTables, ...(tiedEmbedding ? [] : ['embedding.weight'])],
  };
}

/** hidden [batch, length, dim] → logits [batch, length, vocabulary]. */
export function tokenLogits({ params }: { readonly params: object }, hidden: Tensor): Tensor {
  const { embedding, logits } = params as TokenModelParams;
  return scope('logits', () => {
    const { weight, bias } = logits ?? {};
    if (weight !== undefined) return linear({ weight, bias }, hidden);
    const product = matmul(hidden, embedding.weight, { transposeRight: true });
    return bias === undefined ? product : add(product, bias);
  });
}

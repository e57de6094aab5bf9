/** What models of single tokens share: a table of embeddings, and logits that may use the same table. */
import * as z from 'zod';
import { filled, type ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import {
  activationOf,
  type EmbeddingParams,
  embeddingLayout,
  type LinearParams,
  linear,
  linearLayout,
  type NormParams,
  normOf,
  ownNormLayout,
} from '../blocks/index.js';
import { add, matmul, multiply, scope, type Tensor } from '../graph/index.js';
import type { Model, TokenConfig } from './model.js';
import { type TrunkParams, trunkTables } from './trunk.js';

export interface TokenModelParams<T = Tensor> extends TrunkParams<T> {
  readonly embedding: EmbeddingParams<T>;
  /** Of a layer before the logits, [dim, dim]. */
  readonly prediction?: { readonly dense: LinearParams<T>; readonly norm: NormParams<T> } | undefined;
  /** weight [dim, vocabulary], absent where it is tied to the embedding; bias [vocabulary]. */
  readonly logits?: Partial<LinearParams<T>> | undefined;
}

/** Options of logits, whose default of `tiedEmbedding` each family has. */
export function logitsFields(isTied: boolean) {
  return {
    tiedEmbedding: option(z.boolean().default(isTied), 'the logits use the embedding'),
    logitsBias: option(z.boolean().optional(), 'the logits have a bias', { fallback: 'unless they use the embedding' }),
    logitsLayer: option(
      z.boolean().default(false),
      'a layer with the activation and a norm stands before the logits, as in BERT',
    ),
    logitsScale: option(
      z.number().positive().optional(),
      'what the hidden layer is multiplied by before the logits, as T5 does by 1/√dim',
      { fallback: '1' },
    ),
  };
}

export type TokenModelConfig = TokenConfig & {
  readonly tiedEmbedding: boolean;
  readonly logitsBias?: boolean | undefined;
  readonly logitsLayer?: boolean | undefined;
  readonly logitsScale?: number | undefined;
};

/** The parameters around those of the trunk, and the tables among them. */
export function tokenModelLayout(
  {
    dim,
    norm,
    vocabularySize,
    embeddingDeviation,
    tiedEmbedding,
    logitsBias = !tiedEmbedding,
    logitsLayer,
  }: TokenModelConfig,
  trunk: TrunkParams<ParameterSpec>,
): { readonly params: TokenModelParams<ParameterSpec>; readonly tables: readonly string[] } {
  const logitsLayout = () => {
    if (!tiedEmbedding) return linearLayout(dim, vocabularySize, { bias: logitsBias });
    return logitsBias ? { bias: filled([vocabularySize], 0) } : undefined;
  };
  return {
    params: {
      embedding: embeddingLayout(vocabularySize, dim, embeddingDeviation),
      ...trunk,
      prediction: logitsLayer ? { dense: linearLayout(dim, dim), norm: ownNormLayout(norm, dim) } : undefined,
      logits: logitsLayout(),
    },
    tables: [...trunkTables, ...(tiedEmbedding ? [] : ['embedding.weight'])],
  };
}

/** hidden [batch, length, dim] → logits [batch, length, vocabulary], of a model of this config. */
export function tokenHead({ norm, activation, logitsScale }: TokenModelConfig): Model['head'] {
  return ({ params }, given) => {
    const hidden = logitsScale === undefined ? given : scope('logits', () => multiply(given, logitsScale));
    const { prediction } = params as TokenModelParams;
    if (prediction === undefined) return tokenLogits(params as TokenModelParams, hidden);
    const x = scope('prediction', () => {
      const active = activationOf(activation)!(linear(prediction.dense, hidden)); // the schema refuses gates
      return normOf(norm)(prediction.norm, active);
    });
    return tokenLogits(params as TokenModelParams, x);
  };
}

function tokenLogits({ embedding, logits }: TokenModelParams, x: Tensor): Tensor {
  return scope('logits', () => {
    const { weight, bias } = logits ?? {};
    if (weight !== undefined) return linear({ weight, bias }, x);
    const product = matmul(x, embedding.weight, { transposeRight: true, isDense: true });
    return bias === undefined ? product : add(product, bias);
  });
}

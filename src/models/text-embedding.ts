/**
 * The embeddings of models that read whole texts: a vector of each token, one of its kind (BERT, Devlin et al. 2019), and the scale that
 * masked tokens leave to the others (ESM-2, Lin et al. 2023, whose training masked 12 % of the tokens):
 * e·(1 − 0.12)/(1 − m), where m is the part of a text that is masked and whose own e is 0.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { ParameterSpec } from '../base/layout.js';
import { option } from '../base/options.js';
import { type EmbeddingParams, embed, embeddingLayout } from '../blocks/index.js';
import {
  add,
  cast,
  divide,
  equal,
  maximum,
  multiply,
  reshape,
  scalar,
  scope,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import type { TokenFrame } from './frame.js';
import type { ModelInputs } from './inputs.js';
import { maskTokenOf } from './mask-token.js';
import type { TokenConfig } from './model.js';

/** The options of these embeddings. */
export const textEmbeddingFields = {
  tokenTypes: option(
    z
      .int()
      .min(0)
      .max(2 ** 16)
      .default(0),
    'kinds of tokens, as those of the first and the second of two texts, with a learned vector each; a text alone is of the first',
  ),
  maskScaling: option(
    z.boolean().default(false),
    'masked tokens have the embedding 0, and the others of a text are scaled by how many are masked, as ESM-2 has it',
  ),
};

type TextEmbeddingConfig = TokenConfig & z.output<z.ZodObject<typeof textEmbeddingFields>>;

export interface TextEmbeddingParams<T = Tensor> {
  /** [vocabulary, dim] */
  readonly embedding: EmbeddingParams<T>;
  /** [tokenTypes, dim] */
  readonly types?: EmbeddingParams<T> | undefined;
}

/** The paths of those of which a token takes a row. */
export const textTables = ['embedding.weight', 'types.weight'];

export function textEmbeddingLayout(config: TextEmbeddingConfig): TextEmbeddingParams<ParameterSpec> {
  const { dim, vocabularySize, tokenTypes, embeddingDeviation } = config;
  return {
    embedding: embeddingLayout(vocabularySize, dim, embeddingDeviation),
    types: tokenTypes === 0 ? undefined : embeddingLayout(tokenTypes, dim, embeddingDeviation),
  };
}

/** Tokens [batch, length] → embeddings [batch, whole, dim]. Throws SHAPE for kinds of tokens that the model does not have. */
export function embedText(
  config: TextEmbeddingConfig,
  params: TextEmbeddingParams,
  frame: TokenFrame,
  { tokens, types }: { readonly tokens: Tensor<'int32'>; readonly types?: ModelInputs['types'] },
): Tensor {
  if (types !== undefined && params.types === undefined) {
    throw new PerformerError('SHAPE', `${config.model}: expected no types, as it has no tokenTypes, got some.`);
  }
  return scope('embedding', () => {
    const whole = frame.pad(tokens);
    const embedded = embed(params.embedding, whole);
    const scaled = config.maskScaling ? scaledByMasks(config, frame, whole, embedded) : embedded;
    if (params.types === undefined) return scaled;
    const first = () => reshape(slice(params.types!.weight, 0, 0, 1), [config.dim]);
    return add(scaled, types === undefined ? first() : embed(params.types, frame.pad(types)));
  });
}

const trainedPart = 0.15 * 0.8;

function scaledByMasks(config: TokenConfig, frame: TokenFrame, tokens: Tensor<'int32'>, embedded: Tensor): Tensor {
  const [batch, length] = tokens.shape as [Dim, Dim];
  const isMask = equal(tokens, maskTokenOf({ config }));
  const { mask } = frame.tokens;
  const ones = cast(isMask, 'float32');
  const counts = cast(maximum(frame.counts, 1), 'float32');
  const masked = divide(sum(mask === undefined ? ones : where(mask, ones, scalar(0)), 1), counts); // [batch]
  const scale = divide(scalar(1 - trainedPart), maximum(subtract(scalar(1), masked), 1e-6));
  const kept = where(reshape(isMask, [batch, length, 1]), scalar(0), embedded);
  return multiply(kept, reshape(scale, [batch, 1, 1]));
}

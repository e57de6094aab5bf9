/**
 * The bidirectional encoder: an embedding, the trunk with attention in both directions, and logits of every token. It
 * learns by guessing tokens that were masked (BERT, Devlin et al. 2019, arXiv 1810.04805).
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { option, parseOptions } from '../base/options.js';
import {
  type EmbeddingParams,
  embed,
  embeddingLayout,
  type LinearParams,
  linear,
  linearLayout,
} from '../blocks/index.js';
import { byteVocabularySize } from '../data/index.js';
import { matmul, scope, type Tensor } from '../graph/index.js';
import { checkLength, type Model, type ModelFamily } from './model.js';
import { modelFields, withTrunk } from './options.js';
import { buildTrunk, type TrunkBuffers, type TrunkParams } from './trunk.js';
import { maxLengthOf } from './trunk-options.js';

/** The token that stands for a masked one. */
export const maskToken = byteVocabularySize;

export const encoderSchema = withTrunk(
  z.strictObject({
    ...modelFields('encoder', 1),
    tiedEmbedding: option(z.boolean().default(true), 'the logits use the embedding'),
  }),
  { isCausal: false },
);

export type EncoderConfig = z.output<typeof encoderSchema>;
/** What may be given: sizes must be, all else has a default. */
export interface EncoderOptions extends z.input<typeof encoderSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function encoderConfig(options: EncoderOptions): EncoderConfig {
  return parseOptions('encoderConfig', encoderSchema, options);
}

interface EncoderParams extends TrunkParams {
  readonly embedding: EmbeddingParams;
  /** [dim, vocabulary]; absent where it is tied to the embedding. */
  readonly logits?: LinearParams | undefined;
}

export const encoder: ModelFamily<EncoderConfig> = {
  name: 'encoder',
  text: 'reads in both directions, and gives embeddings',
  schema: encoderSchema,
  build(config, { chunk = 64 } = {}): Model {
    const { dim, vocabularySize, tiedEmbedding } = config;
    const trunk = buildTrunk(config, { isCausal: false, chunk });
    const maxLength = maxLengthOf(config);
    const head = ({ params }: { readonly params: object }, hidden: Tensor) => {
      const { embedding, logits } = params as EncoderParams;
      const isTied = logits === undefined;
      return scope('logits', () =>
        isTied ? matmul(hidden, embedding.weight, { transposeRight: true }) : linear(logits, hidden),
      );
    };
    return {
      ...{ config, chunk, head, maxLength, isCausal: false, deferral: undefined },
      params: {
        embedding: embeddingLayout(vocabularySize, dim),
        ...trunk.params,
        logits: tiedEmbedding ? undefined : linearLayout(dim, vocabularySize),
      },
      buffers: trunk.buffers,
      mixers: trunk.mixers,
      tables: ['positions.weight', ...(tiedEmbedding ? [] : ['embedding.weight'])],
      state: trunk.state,
      apply(weights, { tokens, lengths }, { dropout, recompute } = {}) {
        const [batch, length] = tokens.shape as [Dim, Dim];
        checkLength('encoder', { maxLength }, length);
        const { embedding, ...params } = weights.params as EncoderParams;
        const frame = trunk.frame('encoder', { batch, length, lengths, dropout });
        const embedded = scope('embedding', () => embed(embedding, frame.pad(tokens)));
        const own = { params, buffers: weights.buffers as TrunkBuffers };
        const result = trunk.apply(own, embedded, { frame, recompute });
        return { ...result, output: head(weights, result.hidden) };
      },
    };
  },
};

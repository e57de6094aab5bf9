/**
 * The bidirectional encoder: an embedding, the trunk with attention in both directions, and logits of every token. It
 * learns by guessing tokens that were masked (BERT, Devlin et al. 2019, arXiv 1810.04805).
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { parseOptions } from '../base/options.js';
import { inputOf, tokenInputs } from './inputs.js';
import { addedMasks } from './mask-token.js';
import { checkLength, type Model, type ModelFamily } from './model.js';
import { modelFields, wholeTextFields, withTrunk } from './options.js';
import { embedText, textEmbeddingFields, textEmbeddingLayout } from './text-embedding.js';
import { logitsFields, type TokenModelParams, tokenHead, tokenModelLayout } from './token-head.js';
import { buildTrunk, type TrunkBuffers } from './trunk.js';
import { maxLengthOf } from './trunk-options.js';

/** The options of encoders, with their bounds, defaults and help. */
export const encoderSchema = withTrunk(
  z.strictObject({
    ...modelFields('encoder'),
    ...wholeTextFields,
    ...textEmbeddingFields,
    ...logitsFields(true),
  }),
  { isCausal: false, specialTokens: addedMasks },
);

/** Every option, with defaults filled in. */
export type EncoderConfig = z.output<typeof encoderSchema>;
/** What may be given: sizes must be, all else has a default. */
export interface EncoderOptions extends z.input<typeof encoderSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function encoderConfig(options: EncoderOptions): EncoderConfig {
  return parseOptions('encoderConfig', encoderSchema, options);
}

export const encoder: ModelFamily<EncoderConfig> = {
  name: 'encoder',
  text: 'reads in both directions, and gives embeddings',
  schema: encoderSchema,
  // docs/quality.md says what this brings.
  preset: { attention: { kind: 'hybrid', window: 64 } },
  build(config, { chunk = 64, feedForwardChunk } = {}): Model {
    const trunk = buildTrunk(config, { isCausal: false, chunk, feedForwardChunk });
    const [maxLength, head] = [maxLengthOf(config), tokenHead(config)];
    const layout = tokenModelLayout(config, trunk.params);
    return {
      ...{ kind: 'encoder', config, chunk, maxLength, head, isCausal: false, deferral: undefined },
      params: { ...layout.params, ...textEmbeddingLayout(config) },
      tables: [...layout.tables, 'types.weight'],
      buffers: trunk.buffers,
      mixers: trunk.mixers,
      inputs: tokenInputs,
      state: trunk.state,
      apply(weights, inputs, { dropout, recompute, streams } = {}) {
        const tokens = inputOf('encoder', inputs, 'tokens');
        const { lengths } = inputs;
        const [batch, length] = tokens.shape as [Dim, Dim];
        checkLength('encoder', { maxLength }, length);
        const params = weights.params as TokenModelParams;
        const frame = trunk.frame({ batch, length, lengths, dropout });
        const embedded = embedText(config, params, frame, { tokens, types: inputs.types });
        const own = { params, buffers: weights.buffers as TrunkBuffers };
        const result = trunk.apply(own, embedded, { frame, recompute, streams });
        return { ...result, output: head(weights, result.hidden) };
      },
    };
  },
};

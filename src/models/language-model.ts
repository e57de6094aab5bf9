/**
 * The causal language model: an embedding, the trunk with causal attention, and logits of the next token.
 *
 * One definition serves training (a window of tokens), reading a prompt (a window after a state) and generating (one
 * token after a state, in constant time and memory).
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { parseOptions } from '../base/options.js';
import { embed } from '../blocks/index.js';
import { scope } from '../graph/index.js';
import { inputOf, tokenInputs } from './inputs.js';
import { checkLength, type Execution, type Model, type ModelFamily } from './model.js';
import { modelFields, withTrunk, writtenTextFields } from './options.js';
import {
  logitsFields,
  type TokenModelConfig,
  type TokenModelParams,
  tokenHead,
  tokenModelLayout,
} from './token-head.js';
import { buildTrunk, type TrunkBuffers } from './trunk.js';
import { maxLengthOf } from './trunk-options.js';

/** The options of language models, with their bounds, defaults and help. */
export const languageModelSchema = withTrunk(
  z.strictObject({
    ...modelFields('causal-language-model'),
    ...writtenTextFields,
    ...logitsFields(false),
  }),
  { isCausal: true },
);

/** Every option, with defaults filled in. */
export type LanguageModelConfig = z.output<typeof languageModelSchema>;
/** What may be given; dim, depth, heads and headDim must be. */
export type LanguageModelOptions = z.input<typeof languageModelSchema>;

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function languageModelConfig(options: LanguageModelOptions): LanguageModelConfig {
  return parseOptions('languageModelConfig', languageModelSchema, options);
}

export const languageModel: ModelFamily<LanguageModelConfig> = {
  name: 'causal-language-model',
  text: 'predicts the next token, and generates',
  schema: languageModelSchema,
  // docs/quality.md says what each part brings.
  preset: {
    ...{ tokenShift: 2, embeddingDeviation: 1 },
    attention: { kind: 'hybrid', window: 64, forgetting: 'gates' },
  },
  build: (config, execution) => causalModel('language model', config, execution),
};

/** A causal model of tokens with a name for errors: the next token of each is predicted from it and those before it. */
export function causalModel(
  where: string,
  config: TokenModelConfig,
  { chunk = 64, feedForwardChunk }: Execution = {},
): Model {
  const trunk = buildTrunk(config, { isCausal: true, chunk, feedForwardChunk });
  const [maxLength, head] = [maxLengthOf(config), tokenHead(config)];
  return {
    ...{ kind: 'language-model', config, chunk, maxLength, head, isCausal: true },
    ...tokenModelLayout(config, trunk.params),
    buffers: trunk.buffers,
    mixers: trunk.mixers,
    deferral: trunk.deferral,
    inputs: tokenInputs,
    state: trunk.state,
    apply(weights, inputs, { dropout, ...options } = {}) {
      const tokens = inputOf(where, inputs, 'tokens');
      const { lengths } = inputs;
      const [batch, length] = tokens.shape as [Dim, Dim];
      checkLength(where, { maxLength }, length);
      const { embedding, ...params } = weights.params as TokenModelParams;
      const frame = trunk.frame({ batch, length, lengths, dropout, state: options.state });
      const embedded = scope('embedding', () => embed(embedding, frame.pad(tokens)));
      const own = { params, buffers: weights.buffers as TrunkBuffers };
      const result = trunk.apply(own, embedded, { ...options, frame });
      return { ...result, output: head(weights, result.hidden) };
    },
  };
}

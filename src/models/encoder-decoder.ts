/**
 * The encoder-decoder (Vaswani et al. 2017): an encoder reads a source in both directions, and a decoder writes a text, each
 * of whose layers sees the tokens before and looks at the source. Both share the embedding.
 *
 * A session reads the source once. With FAVOR+ what it keeps of it has one size: for each layer the sums over its keys and
 * values, which each token of the text reads in constant time.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { branchBuffers } from '../base/layout.js';
import { option, parseOptions } from '../base/options.js';
import { embed, type SourceContext, type Weights } from '../blocks/index.js';
import { scope, spec, type Tensor } from '../graph/index.js';
import { hasCross, isShared } from '../mixers/index.js';
import { inputOf, type ModelInputs, tokenInputs } from './inputs.js';
import { checkLength, type Model, type ModelFamily, type PassOptions } from './model.js';
import { modelFields, sourceTextFields, withTrunk } from './options.js';
import { logitsFields, type TokenModelParams, tokenHead, tokenModelLayout } from './token-head.js';
import { buildTrunk, type TrunkBuffers, type TrunkParams } from './trunk.js';
import { maxLengthOf, mixersByLayer } from './trunk-options.js';

/** The schema of the options. */
export const encoderDecoderSchema = withTrunk(
  z
    .strictObject({
      ...modelFields('encoder-decoder'),
      encoderDepth: option(z.int().min(1).max(1024).optional(), 'blocks of the encoder', { fallback: 'depth' }),
      ...sourceTextFields,
      ...logitsFields(true),
    })
    .superRefine((config, context) => {
      const without = mixersByLayer(config).filter((chosen) => !isShared(chosen) && !hasCross(chosen));
      if (without.length === 0) return;
      const kinds = [...new Set(without.map(({ kind }) => kind))].join(', ');
      context.addIssue({ code: 'custom', path: ['attention'], message: `${kinds} cannot look at a source` });
    })
    .transform((config) => ({ ...config, encoderDepth: config.encoderDepth ?? config.depth })),
  { isCausal: true, hasEncoder: true, specialTokens: (_, { beginToken }) => (beginToken === undefined ? 1 : 0) },
);

/** Every option, with defaults filled in. */
export type EncoderDecoderConfig = z.output<typeof encoderDecoderSchema>;
/** What may be given: sizes must be, all else has a default. */
export interface EncoderDecoderOptions extends z.input<typeof encoderDecoderSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function encoderDecoderConfig(options: EncoderDecoderOptions): EncoderDecoderConfig {
  return parseOptions('encoderDecoderConfig', encoderDecoderSchema, options);
}

interface Params extends TokenModelParams {
  readonly encoder: TrunkParams;
}

interface Buffers extends TrunkBuffers {
  readonly encoder: TrunkBuffers;
}

const name = 'encoder-decoder';

export const encoderDecoder: ModelFamily<EncoderDecoderConfig> = {
  name,
  text: 'reads a source and writes another text of it',
  schema: encoderDecoderSchema,
  build(config, { chunk = 64, feedForwardChunk } = {}): Model {
    const { encoderDepth, vocabularySize, beginToken } = config;
    const reader = buildTrunk(config, {
      isCausal: false,
      chunk,
      feedForwardChunk,
      depth: encoderDepth,
      prefix: 'encoder.',
    });
    const trunk = buildTrunk(config, { isCausal: true, chunk, feedForwardChunk, hasSource: true });
    const maxLength = maxLengthOf(config);
    const head = tokenHead(config);
    const { params, tables } = tokenModelLayout(config, trunk.params);

    function encode(weights: Weights, inputs: ModelInputs, { dropout, recompute }: PassOptions): SourceContext {
      const tokens = inputOf(name, inputs, 'source');
      const [batch, length] = tokens.shape as [Dim, Dim];
      checkLength(name, { maxLength }, length);
      const { embedding, encoder } = weights.params as Params;
      const frame = reader.frame({ batch, length, lengths: inputs.sourceLengths, dropout });
      return scope('encoder', () => {
        const embedded = scope('embedding', () => embed(embedding, frame.pad(tokens)));
        const own = { params: encoder, buffers: (weights.buffers as Buffers).encoder };
        const { hidden } = reader.apply(own, embedded, { frame, recompute });
        return { hidden, ...frame.tokens };
      });
    }

    const decoder = (weights: Weights) => {
      const { embedding: _, encoder: __, ...own } = weights.params as Params;
      return { params: own, buffers: weights.buffers as TrunkBuffers };
    };
    return {
      ...{ kind: 'encoder-decoder', config, chunk, maxLength, head, isCausal: true },
      boundary: beginToken ?? vocabularySize - 1, // the last, which no tokenizer gives
      params: { encoder: reader.params, ...params },
      // Other random rows than those of the decoder.
      buffers: { encoder: branchBuffers(reader.buffers, 'encoder'), ...trunk.buffers },
      mixers: trunk.mixers,
      tables,
      inputs: (batch, length) => ({
        ...tokenInputs(batch, length),
        source: spec('int32', [batch, length]),
        sourceLengths: spec('int32', [batch]),
      }),
      deferral: trunk.deferral,
      state: trunk.state,
      readSource: (weights, inputs, state) => trunk.after(decoder(weights), encode(weights, inputs, {}), state),
      apply(weights, inputs, { dropout, ...options } = {}) {
        const tokens = inputOf(name, inputs, 'tokens');
        const [batch, length] = tokens.shape as [Dim, Dim];
        checkLength(name, { maxLength }, length);
        const source = options.state === undefined ? encode(weights, inputs, { dropout, ...options }) : undefined;
        const { lengths } = inputs;
        const frame = trunk.frame({ batch, length, lengths, dropout, state: options.state });
        const embedded: Tensor = scope('embedding', () =>
          embed((weights.params as Params).embedding, frame.pad(tokens)),
        );
        const result = trunk.apply(decoder(weights), embedded, { ...options, frame, source });
        return { ...result, output: head(weights, result.hidden) };
      },
    };
  },
};

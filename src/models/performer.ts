/**
 * The plain Performer: the trunk alone, from embeddings to hidden layers, with attention in both directions or causal.
 *
 *   embeddings [batch, length, dim] → hidden layers [batch, length, dim], normalised
 *
 * It stands where another system has the embeddings and the head, or as a part of one's own graph.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { option, parseOptions } from '../base/options.js';
import { spec } from '../graph/index.js';
import { inputOf } from './inputs.js';
import { checkLength, type Model, type ModelFamily } from './model.js';
import { anyModelFields, withTrunk } from './options.js';
import { buildTrunk, type TrunkBuffers, type TrunkParams, trunkTables } from './trunk.js';
import { maxLengthOf } from './trunk-options.js';

/** The schema of the options. */
export const performerSchema = withTrunk(
  z.strictObject({
    ...anyModelFields('performer'),
    isCausal: option(z.boolean().default(false), 'a row sees those before it and itself alone'),
  }),
  { isCausal: ({ isCausal }) => isCausal },
);

/** Every option, with defaults filled in. */
export type PerformerConfig = z.output<typeof performerSchema>;
/** What may be given: sizes must be, all else has a default. */
export interface PerformerOptions extends z.input<typeof performerSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function performerConfig(options: PerformerOptions): PerformerConfig {
  return parseOptions('performerConfig', performerSchema, options);
}

export const performer: ModelFamily<PerformerConfig> = {
  name: 'performer',
  text: 'turns embeddings into hidden layers, as a part of other models',
  schema: performerSchema,
  build(config, { chunk = 64, feedForwardChunk } = {}): Model {
    const { dim, isCausal } = config;
    const trunk = buildTrunk(config, { isCausal, chunk, feedForwardChunk });
    const maxLength = maxLengthOf(config);
    return {
      ...{ kind: 'performer', config, chunk, maxLength, isCausal },
      head: (_, hidden) => hidden,
      params: trunk.params,
      buffers: trunk.buffers,
      mixers: trunk.mixers,
      tables: trunkTables,
      inputs: (batch, length) => ({
        embeddings: spec('float32', [batch, length, dim]),
        lengths: spec('int32', [batch]),
      }),
      deferral: trunk.deferral,
      state: trunk.state,
      apply(weights, inputs, { dropout, ...options } = {}) {
        const embeddings = inputOf('performer', inputs, 'embeddings');
        const [batch, length] = embeddings.shape as [Dim, Dim];
        checkLength('performer', { maxLength }, length);
        const { lengths } = inputs;
        const frame = trunk.frame({ batch, length, lengths, dropout, state: options.state });
        const own = { params: weights.params as TrunkParams, buffers: weights.buffers as TrunkBuffers };
        const result = trunk.apply(own, frame.pad(embeddings), { ...options, frame });
        return { ...result, output: result.hidden };
      },
    };
  },
};

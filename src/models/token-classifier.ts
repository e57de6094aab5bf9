/**
 * The token classifier: the trunk with attention in both directions, and a linear head that gives each token a logit for each
 * class. What a word is told is that of its first token (BERT, Devlin et al. 2019, section 5.3).
 *
 * It has the tokens of an encoder, so that it can begin with the weights of one; that which masks it never reads.
 */
import * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { parseOptions } from '../base/options.js';
import { type LinearParams, linear, linearLayout } from '../blocks/index.js';
import { scope, type Tensor } from '../graph/index.js';
import { inputOf, tokenInputs } from './inputs.js';
import { addedMasks } from './mask-token.js';
import { checkLength, type Model, type ModelFamily } from './model.js';
import { modelFields, wholeTextFields, withTrunk } from './options.js';
import { checkTargets, classChoice } from './targets.js';
import {
  embedText,
  type TextEmbeddingParams,
  textEmbeddingFields,
  textEmbeddingLayout,
  textTables,
} from './text-embedding.js';
import { buildTrunk, type TrunkBuffers, type TrunkParams, trunkTables } from './trunk.js';
import { maxLengthOf } from './trunk-options.js';

/** The options of token classifiers, with their bounds, defaults and help. */
export const tokenClassifierSchema = withTrunk(
  z
    .strictObject({
      ...modelFields('token-classifier'),
      ...wholeTextFields,
      ...textEmbeddingFields,
      targets: classChoice,
    })
    .superRefine(checkTargets),
  { isCausal: false, specialTokens: addedMasks },
);

/** Every option, with defaults filled in. */
export type TokenClassifierConfig = z.output<typeof tokenClassifierSchema>;
/** What may be given: sizes and targets must be, all else has a default. */
export interface TokenClassifierOptions extends z.input<typeof tokenClassifierSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function tokenClassifierConfig(options: TokenClassifierOptions): TokenClassifierConfig {
  return parseOptions('tokenClassifierConfig', tokenClassifierSchema, options);
}

interface TokenClassifierParams extends TrunkParams, TextEmbeddingParams {
  /** [dim, classes] */
  readonly head: LinearParams;
}

export const tokenClassifier: ModelFamily<TokenClassifierConfig> = {
  name: 'token-classifier',
  text: 'tells the class of each word of a text',
  schema: tokenClassifierSchema,
  build(config, { chunk = 64, feedForwardChunk } = {}): Model {
    const { dim, targets } = config;
    const trunk = buildTrunk(config, { isCausal: false, chunk, feedForwardChunk });
    const maxLength = maxLengthOf(config);
    const head = ({ params }: { readonly params: object }, hidden: Tensor) =>
      scope('head', () => linear((params as TokenClassifierParams).head, hidden));
    return {
      ...{ kind: 'token-classifier', config, chunk, maxLength, head, isCausal: false, deferral: undefined },
      params: {
        ...textEmbeddingLayout(config),
        ...trunk.params,
        head: linearLayout(dim, targets.names.length),
      },
      buffers: trunk.buffers,
      mixers: trunk.mixers,
      tables: [...trunkTables, ...textTables],
      inputs: tokenInputs,
      state: trunk.state,
      apply(weights, inputs, { dropout, recompute } = {}) {
        const tokens = inputOf('token-classifier', inputs, 'tokens');
        const { lengths } = inputs;
        const [batch, length] = tokens.shape as [Dim, Dim];
        checkLength('token-classifier', { maxLength }, length);
        const { head: _, ...params } = weights.params as TokenClassifierParams;
        const frame = trunk.frame({ batch, length, lengths, dropout });
        const embedded = embedText(config, params, frame, { tokens, types: inputs.types });
        const own = { params, buffers: weights.buffers as TrunkBuffers };
        const result = trunk.apply(own, embedded, { frame, recompute });
        return { ...result, output: head(weights, result.hidden) }; // [batch, length, classes]
      },
    };
  },
};

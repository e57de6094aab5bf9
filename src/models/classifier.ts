/**
 * The classifier and regressor: the trunk with attention in both directions, one vector for a text pooled from its
 * tokens, and a head: a logit for each class or each label, or a number for each value.
 *
 * Values are learned in standard units, (value − mean)/deviation; means and deviations stand in the config. Pooled by the
 * first token, a text begins with a token of its own (BERT's [CLS]), which the model sets before it unless texts are framed by
 * such tokens.
 */
import * as z from 'zod';
import { addDims, type Dim } from '../base/dimension.js';
import { option, parseOptions } from '../base/options.js';
import { add, pad, scope, slice } from '../graph/index.js';
import { type ClassHeadParams, classHead, classHeadFields, classHeadLayout, classHeadTables } from './class-head.js';
import { inputOf, tokenInputs } from './inputs.js';
import { addedMasks, classTokenOf } from './mask-token.js';
import { checkLength, type Model, type ModelFamily } from './model.js';
import { modelFields, wholeTextFields, withTrunk } from './options.js';
import { type AttentionPoolingParams, attentionPoolingLayout, checkPooling, poolBy } from './pooling.js';
import { checkTargets, targetChoice } from './targets.js';
import {
  embedText,
  type TextEmbeddingParams,
  textEmbeddingFields,
  textEmbeddingLayout,
  textTables,
} from './text-embedding.js';
import { buildTrunk, type TrunkBuffers, type TrunkParams, trunkTables } from './trunk.js';
import { maxLengthOf } from './trunk-options.js';

/** The options of classifiers and regressors, with their bounds, defaults and help. */
export const classifierSchema = withTrunk(
  z
    .strictObject({
      ...modelFields('classifier'),
      ...wholeTextFields,
      ...textEmbeddingFields,
      pooling: option(
        z.enum(['mean', 'first', 'attention']).default('mean'),
        'how one vector is made of the tokens of a text',
      ),
      ...classHeadFields,
      targets: targetChoice,
    })
    .superRefine(checkTargets)
    .superRefine(checkPooling),
  { isCausal: false, specialTokens: addedMasks },
);

/** Every option, with defaults filled in. */
export type ClassifierConfig = z.output<typeof classifierSchema>;
/** What may be given: sizes and targets must be, all else has a default. */
export interface ClassifierOptions extends z.input<typeof classifierSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function classifierConfig(options: ClassifierOptions): ClassifierConfig {
  return parseOptions('classifierConfig', classifierSchema, options);
}

interface ClassifierParams extends TrunkParams, TextEmbeddingParams, ClassHeadParams {
  /** For attention pooling. */
  readonly pooling?: AttentionPoolingParams | undefined;
}

const kinds = { classes: 'classifier', labels: 'multi-label-classifier', values: 'regressor' } as const;

export const classifier: ModelFamily<ClassifierConfig> = {
  name: 'classifier',
  text: 'tells the class of a text, its labels, or numbers',
  schema: classifierSchema,
  build(config, { chunk = 64, feedForwardChunk } = {}): Model {
    const { dim, pooling, targets, headLayer } = config;
    const trunk = buildTrunk(config, { isCausal: false, chunk, feedForwardChunk });
    const maxLength = maxLengthOf(config);
    const before = pooling === 'first' && !config.framed ? 1 : 0;
    const classToken = classTokenOf(config);
    const head = classHead(headLayer);
    return {
      kind: kinds[targets.kind],
      ...{ config, chunk, head, isCausal: false, deferral: undefined },
      maxLength: maxLength === undefined ? undefined : maxLength - before,
      params: {
        ...textEmbeddingLayout(config),
        ...trunk.params,
        pooling: pooling === 'attention' ? attentionPoolingLayout(dim) : undefined,
        ...classHeadLayout(headLayer, dim, targets.names.length),
      },
      buffers: trunk.buffers,
      mixers: trunk.mixers,
      tables: [...trunkTables, ...textTables, ...classHeadTables, 'pooling.query'],
      inputs: tokenInputs,
      state: trunk.state,
      apply(weights, inputs, { dropout, recompute } = {}) {
        const tokens = inputOf('classifier', inputs, 'tokens');
        const { lengths: given } = inputs;
        const lengths = given === undefined || before === 0 ? given : add(given, before);
        const whole = pad(tokens, 1, before, 0, classToken);
        const [batch, length] = whole.shape as [Dim, Dim];
        checkLength('classifier', { maxLength }, length);
        const { pooling: own, head: _, headLayer: __, ...params } = weights.params as ClassifierParams;
        const frame = trunk.frame({ batch, length, lengths, dropout });
        const types = inputs.types && pad(inputs.types, 1, before, 0);
        const embedded = embedText(config, params, frame, { tokens: whole, types });
        const buffers = weights.buffers as TrunkBuffers;
        const result = trunk.apply({ params, buffers }, embedded, { frame, recompute });
        const pooled = scope('pooling', () => poolBy(pooling, own, { hidden: result.hidden, lengths }));
        const hidden = slice(result.hidden, 1, before, addDims(before, tokens.dim(1)));
        return { ...result, hidden, output: head(weights, pooled) }; // [batch, outputs]
      },
    };
  },
};

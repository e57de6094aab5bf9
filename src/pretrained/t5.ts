/**
 * T5 (Raffel et al. 2020): an encoder-decoder without positions of its own, whose scores have learned numbers added by the distance of
 * query and key. All layers of a stack have those of the first, which ours have each for itself. Scores are not divided by √dim there:
 * queries are multiplied by it here. Where the logits use the embedding they are divided by √d_model.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { epsilon, hiddenOf, pretrainedFamily, size } from './family.js';
import { linear, norm, same, type TensorRule } from './tensors.js';

/** Our names of feed-forward layers, and the original's of their activation. */
const projections = {
  relu: { own: 'relu', theirs: 'relu' },
  gelu: { own: 'gelu', theirs: 'gelu' },
  silu: { own: 'silu', theirs: 'silu' },
  'gated-relu': { own: 'reglu', theirs: 'relu' },
  'gated-gelu': { own: 'geglu-tanh', theirs: 'gelu_new' },
  'gated-silu': { own: 'swiglu', theirs: 'silu' },
} as const;

const fields = {
  ...{ vocab_size: size, d_model: size, d_kv: size, d_ff: size, num_layers: size, num_heads: size },
  num_decoder_layers: size.optional(),
  relative_attention_num_buckets: size.default(32),
  relative_attention_max_distance: size.default(128),
  layer_norm_epsilon: epsilon.default(1e-6),
  feed_forward_proj: z.enum(Object.keys(projections) as [keyof typeof projections]).default('relu'),
  ...{ dense_act_fn: z.string().optional(), is_gated_act: z.boolean().optional() },
  tie_word_embeddings: z.boolean().default(true),
  ...{ is_encoder_decoder: z.literal(true).optional(), is_decoder: z.literal(false).optional() },
  pad_token_id: z.int().min(0).default(0),
  decoder_start_token_id: z.int().min(0).optional(),
  // How long texts were in the training, and how it was done.
  ...{ n_positions: z.unknown().optional(), dropout_rate: z.unknown().optional() },
};

type Config = z.output<z.ZodObject<typeof fields>>;

const depthOf = ({ num_layers: encoder, num_decoder_layers: decoder = encoder }: Config) => decoder;
const isTied = (config: Config, architecture: string) => config.tie_word_embeddings || architecture === 'T5Model';

function attention(from: string, to: string, { d_kv: headDim }: Config): readonly TensorRule[] {
  const parts = { q: 'query', k: 'key', v: 'value', o: 'output' } as const;
  return Object.entries(parts).flatMap(([theirs, ours]) =>
    linear(`${from}.${theirs}`, `${to}.${ours}`, {
      bias: false,
      gain: theirs === 'q' ? Math.sqrt(headDim) : undefined,
    }),
  );
}

/** The layers of a stack, which look at a source or not. */
function stackRules(stack: 'encoder' | 'decoder', depth: number, config: Config): readonly TensorRule[] {
  const own = stack === 'encoder' ? 'encoder.' : '';
  const blocks = Array.from({ length: depth }, (_, layer) => {
    const [from, to] = [`${stack}.block.${layer}.layer`, `${own}blocks.${layer}`];
    const last = stack === 'encoder' ? 1 : 2;
    const feedForward = (theirs: string, ours: string) =>
      linear(`${from}.${last}.DenseReluDense.${theirs}`, `${to}.feedForward.${ours}`, { bias: false });
    const wide = config.feed_forward_proj.startsWith('gated')
      ? [...feedForward('wi_0', 'gate'), ...feedForward('wi_1', 'expand')]
      : feedForward('wi', 'expand');
    return [
      ...attention(`${from}.0.SelfAttention`, `${to}.attention`, config),
      ...norm(`${from}.0.layer_norm`, `${to}.attentionNorm`, { bias: false }),
      ...(stack === 'encoder'
        ? []
        : [
            ...attention(`${from}.1.EncDecAttention`, `${to}.crossAttention`, config),
            ...norm(`${from}.1.layer_norm`, `${to}.crossAttentionNorm`, { bias: false }),
          ]),
      ...[...wide, ...feedForward('wo', 'contract')],
      ...norm(`${from}.${last}.layer_norm`, `${to}.feedForwardNorm`, { bias: false }),
    ];
  });
  const table = `${stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`;
  return [
    ...blocks.flat(),
    toEach(
      table,
      Array.from({ length: depth }, (_, layer) => `${own}blocks.${layer}.attention.features.relativeBias`),
    ),
    ...norm(`${stack}.final_layer_norm`, `${own}norm`, { bias: false }),
  ];
}

/** A tensor that is each of some parameters. */
function toEach(from: string, to: readonly string[]): TensorRule {
  return {
    ...{ from, to, isShared: true },
    shapeOf: ([shape]) => shape!,
    strandsOf: (targets) =>
      targets.flatMap((shape, target) => [...same(from, '').strandsOf([shape])].map((each) => ({ ...each, target }))),
  };
}

function expectActivation({ feed_forward_proj: name, dense_act_fn: activation, is_gated_act: isGated }: Config): void {
  const { theirs } = projections[name];
  const expected = { dense_act_fn: theirs, is_gated_act: name.startsWith('gated') };
  const got = { dense_act_fn: activation ?? theirs, is_gated_act: isGated ?? expected.is_gated_act };
  if (JSON.stringify(got) === JSON.stringify(expected)) return;
  throw new PerformerError(
    'CONFIG',
    `config.json: expected ${JSON.stringify(expected)} beside feed_forward_proj ${name}, got ${JSON.stringify(got)}. Such models are not understood.`,
  );
}

export const t5 = pretrainedFamily({
  modelType: 't5',
  architectures: ['T5ForConditionalGeneration', 'T5Model', 'T5WithLMHeadModel'],
  fields: z.strictObject(fields),
  options: (config, architecture) => {
    expectActivation(config);
    const tied = isTied(config, architecture);
    return {
      model: 'encoder-decoder',
      vocabularySize: config.vocab_size,
      ...{ dim: config.d_model, heads: config.num_heads, headDim: config.d_kv },
      ...{ depth: depthOf(config), encoderDepth: config.num_layers },
      ...{ feedForwardWidth: config.d_ff, activation: projections[config.feed_forward_proj].own },
      ...{ feedForwardBias: false, outputBias: false, positions: { kind: 'none' } },
      norm: { kind: 'rms', epsilon: config.layer_norm_epsilon },
      attention: {
        kind: 'softmax',
        relativeBuckets: config.relative_attention_num_buckets,
        relativeDistance: config.relative_attention_max_distance,
      },
      ...{ tiedEmbedding: tied, logitsBias: false, logitsScale: tied ? config.d_model ** -0.5 : undefined },
      beginToken: config.decoder_start_token_id ?? config.pad_token_id,
    };
  },
  fieldsOf: (own) => {
    const { relativeBuckets, relativeDistance } = Object(own.attention) as Readonly<Record<string, number | undefined>>;
    const [projection] = Object.entries(projections).find(([, { own: name }]) => name === own.activation) ?? [];
    return {
      ...{ vocab_size: own.vocabularySize, d_model: own.dim, d_kv: own.headDim, num_heads: own.heads },
      ...{ d_ff: hiddenOf(own), num_layers: own.encoderDepth, num_decoder_layers: own.depth },
      ...{ feed_forward_proj: projection, layer_norm_epsilon: own.norm.epsilon },
      ...{ relative_attention_num_buckets: relativeBuckets, relative_attention_max_distance: relativeDistance },
      ...{ tie_word_embeddings: own.tiedEmbedding, decoder_start_token_id: own.beginToken },
      is_encoder_decoder: true,
    };
  },
  unused: ['decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight'], // of files of other years, which nothing reads
  copies: (config, architecture) => [
    ['encoder.embed_tokens.weight', 'shared.weight'],
    ['decoder.embed_tokens.weight', 'shared.weight'],
    ...(isTied(config, architecture) ? ([['lm_head.weight', 'shared.weight']] as const) : []),
  ],
  rules: (config, architecture) => [
    same('shared.weight', 'embedding.weight'),
    ...stackRules('encoder', config.num_layers, config),
    ...stackRules('decoder', depthOf(config), config),
    ...(isTied(config, architecture) ? [] : linear('lm_head', 'logits', { bias: false })),
  ],
});

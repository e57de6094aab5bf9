/**
 * PerformerLM of performer-pytorch (Wang 2020, version 1.1.4): FAVOR+ with the original's projections, as an encoder, or in a causal
 * order as a language model. config.json has the arguments of its constructor, and the weights are its state dict, or that of its
 * AutoregressiveWrapper. Its rotary positions turn neighbouring channels, ours are the first ones of each half: the channels of
 * queries, keys and projections change places, which no product of two of them sees.
 *
 * What is refused would not be the same function here: in a causal order the softmax features of the original depend on later tokens
 * (one maximum of all keys), and without one the keys of `no_projection` are a softmax over the text.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { only, pretrainedFamily, size } from './family.js';
import { linear, norm, same, type TensorRule } from './tensors.js';

const fields = {
  ...{ num_tokens: size, max_seq_len: size, dim: size, depth: size, heads: size },
  dim_head: size.default(64),
  ff_mult: size.default(4),
  nb_features: size.optional(),
  ff_glu: z.boolean().default(false),
  generalized_attention: z.boolean().default(false),
  kernel_fn: only('relu'),
  use_rezero: z.boolean().default(false),
  tie_embed: z.boolean().default(false),
  rotary_position_emb: z.boolean().default(true),
  ...{ qkv_bias: z.boolean().default(false), attn_out_bias: z.boolean().default(false) },
  ...{ causal: z.boolean().default(false), no_projection: z.boolean().default(false) },
  reversible: z.boolean().default(false),
  /** Of positions that are not rotary. */
  ...{ axial_position_emb: z.boolean().default(false), axial_position_shape: z.tuple([size, size]).optional() },
  ...{ use_scalenorm: only(false), cross_attend: only(false), shift_tokens: only(false), local_attn_heads: only(0) },
  local_window_size: z.unknown().optional(), // of local heads
  // How it is trained, and how it is computed.
  ...{ emb_dropout: z.unknown().optional(), ff_dropout: z.unknown().optional(), ff_chunks: z.unknown().optional() },
  ...{ attn_dropout: z.unknown().optional(), feature_redraw_interval: z.unknown().optional() },
  ...{ auto_check_redraw: z.unknown().optional(), library_version: z.unknown().optional() },
  wrapper: z.enum(['PerformerLM', 'AutoregressiveWrapper']).optional(),
};

type Config = z.output<z.ZodObject<typeof fields>>;

/** The names of the attention and of the feed-forward layer of a block. */
function layersOf({ reversible }: Config): readonly [attention: string, feedForward: string] {
  const block = 'performer.net.blocks.*';
  return reversible ? [`${block}.f.net`, `${block}.g.net`] : ['performer.net.layers.*.0', 'performer.net.layers.*.1'];
}

/** Rows and columns of axial positions; undefined where positions are others. */
function axesOf(config: Config): readonly [rows: number, columns: number] | undefined {
  if (config.rotary_position_emb || !config.axial_position_emb) return undefined;
  return config.axial_position_shape ?? [Math.ceil(config.max_seq_len / 64), 64];
}

/** Which channel of a head of theirs is a channel of ours. */
function channelOf(channel: number, { dim_head: headDim, rotary_position_emb: isTurning }: Config): number {
  const half = headDim / 2;
  if (!isTurning) return channel;
  return channel < half ? 2 * channel : 2 * (channel - half) + 1;
}

/** The random rows of a layer, one matrix for all of its heads. */
function projection(config: Config): TensorRule {
  return {
    ...{ from: `${layersOf(config)[0]}.fn.fast_attention.projection_matrix`, to: ['blocks.*.attention.projection'] },
    shapeOf: ([shape]) => shape!,
    *strandsOf([shape]) {
      const [count, width] = shape as [number, number];
      for (let to = 0; to < width; to++) {
        yield { target: 0, from: channelOf(to, config), fromStep: width, to, toStep: width, count };
      }
    },
  };
}

/** A number that is a parameter of one entry. */
function single(from: string, to: string): TensorRule {
  return { ...same(from, to), shapeOf: () => [] };
}

function layerRules(config: Config): readonly TensorRule[] {
  const [attention, { dim_head: headDim, qkv_bias: bias }] = ['blocks.*.attention', config];
  const [looking, feeding] = layersOf(config);
  // Our features take queries and keys by d^(−1/4), the original's exponential ones as they are.
  const gain = config.no_projection ? headDim ** 0.25 : undefined;
  const turned = (_: number, index: number) => {
    const channel = index % headDim;
    return index - channel + channelOf(channel, config);
  };
  const around = (from: string, to: string) =>
    config.use_rezero ? [single(`${from}.g`, `${to}Gain.weight`)] : norm(`${from}.norm`, `${to}Norm`);
  const wide = ['blocks.*.feedForward.gate', 'blocks.*.feedForward.expand'].slice(config.ff_glu ? 0 : 1);
  return [
    ...around(looking, attention),
    ...linear(`${looking}.fn.to_q`, `${attention}.query`, { bias, gain, outputOf: turned }),
    ...linear(`${looking}.fn.to_k`, `${attention}.key`, { bias, gain, outputOf: turned }),
    ...linear(`${looking}.fn.to_v`, `${attention}.value`, { bias }),
    ...linear(`${looking}.fn.to_out`, `${attention}.output`, { bias: config.attn_out_bias }),
    ...(config.no_projection ? [] : [projection(config)]),
    ...around(feeding, 'blocks.*.feedForward'),
    ...linear(`${feeding}.fn.fn.w1`, wide),
    ...linear(`${feeding}.fn.fn.w2`, 'blocks.*.feedForward.contract'),
  ];
}

function positionsOf(config: Config) {
  if (config.rotary_position_emb) return { kind: 'rotary', waves: true };
  const [rows, columns] = axesOf(config) ?? [];
  if (rows === undefined || columns === undefined) return { kind: 'learned', maxLength: config.max_seq_len };
  return { kind: 'axial', maxLength: rows * columns, columns };
}

function positionRules(config: Config): readonly TensorRule[] {
  if (config.rotary_position_emb) return [];
  if (axesOf(config) === undefined) return [same('pos_emb.emb.weight', 'positions.weight')];
  return [
    { ...same('pos_emb.weights.0', 'positions.rows.weight'), shapeOf: ([shape]) => [1, shape![0]!, 1, shape![1]!] },
    { ...same('pos_emb.weights.1', 'positions.columns.weight'), shapeOf: ([shape]) => [1, 1, ...shape!] },
  ];
}

/** The features, and in a causal order the 1e-6 on each sum of them: ours are those of the original by 1/√featureCount. */
function attentionOf(config: Config) {
  const { dim_head: headDim, nb_features: count = Math.trunc(headDim * Math.log(headDim)) } = config;
  const { causal: isCausal, no_projection: isDirect, generalized_attention: isRelu } = config;
  if (isDirect !== isCausal && !(isCausal && isRelu)) {
    const [name, advice] = isCausal
      ? ['causal', 'its features depend on later tokens, unless generalized_attention or no_projection is true']
      : ['no_projection', 'its keys are normalised over the text, unless causal is true'];
    throw new PerformerError('CONFIG', `config.json: ${name}: expected false, got true: ${advice}.`);
  }
  if (isDirect) {
    const features = { name: 'exponential', projectionKind: 'none' };
    return { kind: 'favor+', features, normalizerEpsilon: 1e-6 / Math.sqrt(headDim) };
  }
  if (!isRelu) return { kind: 'favor+', features: { name: 'positive', featureCount: count, featureEpsilon: 1e-4 } };
  const features = { name: 'relu', featureCount: count, kernelEpsilon: 1e-3 };
  return { kind: 'favor+', features, normalizerEpsilon: isCausal ? 1e-6 / Math.sqrt(count) : undefined };
}

export const performerPytorch = pretrainedFamily({
  modelType: 'performer-pytorch',
  architectures: ['PerformerLM'],
  fields: z.strictObject(fields),
  options: (config) => {
    const { dim_head: headDim } = config;
    return {
      model: config.causal ? 'causal-language-model' : 'encoder',
      vocabularySize: config.num_tokens,
      ...{ dim: config.dim, depth: config.depth, heads: config.heads, headDim },
      ...{ feedForwardWidth: config.dim * config.ff_mult, activation: config.ff_glu ? 'geglu' : 'gelu' },
      norm: config.use_rezero ? { kind: 'rezero' } : { kind: 'layer', epsilon: 1e-5 },
      ...{ attention: attentionOf(config), reversible: config.reversible },
      ...{ qkvBias: config.qkv_bias, outputBias: config.attn_out_bias, tiedEmbedding: config.tie_embed },
      positions: positionsOf(config),
    };
  },
  prefix: 'net.', // of the wrapper
  derived: [
    ...['performer.proj_updater.calls_since_last_redraw', 'pos_emb.emb', 'layer_pos_emb.emb'],
    // Where they are not read, for `no_projection`.
    ...['performer.net', 'performer.proj_updater.instance'].flatMap((net) =>
      ['layers.*.0', 'blocks.*.f.net'].map((layer) => `${net}.${layer}.fn.fast_attention.projection_matrix`),
    ),
  ],
  /** A plain state dict has every layer twice, as what redraws the projections has a name for them too. */
  copies: (config) =>
    layerRules(config).flatMap(({ from }) =>
      Array.from({ length: config.depth }, (_, index): readonly [string, string] => {
        const name = from.replace('*', String(index));
        return [name.replace('performer.net.', 'performer.proj_updater.instance.'), name];
      }),
    ),
  rules: (config) => [
    same('token_emb.weight', 'embedding.weight'),
    ...positionRules(config),
    ...layerRules(config),
    ...norm('norm', 'norm'),
    ...(config.tie_embed ? [] : linear('to_out', 'logits')),
  ],
});

/**
 * PerformerLM of performer-pytorch (Wang 2020, version 1.1.4), as far as it reads in both directions: FAVOR+ with the original's
 * projections. config.json has the arguments of its constructor, and the weights are its state dict, or that of its
 * AutoregressiveWrapper. Its rotary positions turn neighbouring channels, ours are the first ones of each half: the channels of
 * queries, keys and projections change places, which no product of two of them sees.
 *
 * What is refused would not be the same function here: in a causal order the features of the original depend on later tokens (one
 * maximum of all keys), and 1e-6 is added to the sums of the keys.
 */
import * as z from 'zod';
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
  ...{ causal: only(false), no_projection: only(false), local_attn_heads: only(0), reversible: only(false) },
  ...{ use_scalenorm: only(false), cross_attend: only(false), axial_position_emb: only(false) },
  shift_tokens: only(false),
  ...{ local_window_size: z.unknown().optional(), axial_position_shape: z.unknown().optional() }, // of what is refused
  // How it is trained, and how it is computed.
  ...{ emb_dropout: z.unknown().optional(), ff_dropout: z.unknown().optional(), ff_chunks: z.unknown().optional() },
  ...{ attn_dropout: z.unknown().optional(), feature_redraw_interval: z.unknown().optional() },
  ...{ auto_check_redraw: z.unknown().optional(), library_version: z.unknown().optional() },
  wrapper: z.enum(['PerformerLM', 'AutoregressiveWrapper']).optional(),
};

type Config = z.output<z.ZodObject<typeof fields>>;

const layer = 'performer.net.layers.*';

/** Which channel of a head of theirs is a channel of ours. */
function channelOf(channel: number, { dim_head: headDim, rotary_position_emb: isTurning }: Config): number {
  const half = headDim / 2;
  if (!isTurning) return channel;
  return channel < half ? 2 * channel : 2 * (channel - half) + 1;
}

/** The random rows of a layer, one matrix for all of its heads. */
function projection(config: Config): TensorRule {
  return {
    ...{ from: `${layer}.0.fn.fast_attention.projection_matrix`, to: ['blocks.*.attention.projection'] },
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
  const turned = (_: number, index: number) => {
    const channel = index % headDim;
    return index - channel + channelOf(channel, config);
  };
  const around = (from: string, to: string) =>
    config.use_rezero ? [single(`${from}.g`, `${to}Gain.weight`)] : norm(`${from}.norm`, `${to}Norm`);
  const wide = ['blocks.*.feedForward.gate', 'blocks.*.feedForward.expand'].slice(config.ff_glu ? 0 : 1);
  return [
    ...around(`${layer}.0`, attention),
    ...linear(`${layer}.0.fn.to_q`, `${attention}.query`, { bias, outputOf: turned }),
    ...linear(`${layer}.0.fn.to_k`, `${attention}.key`, { bias, outputOf: turned }),
    ...linear(`${layer}.0.fn.to_v`, `${attention}.value`, { bias }),
    ...linear(`${layer}.0.fn.to_out`, `${attention}.output`, { bias: config.attn_out_bias }),
    projection(config),
    ...around(`${layer}.1`, 'blocks.*.feedForward'),
    ...linear(`${layer}.1.fn.fn.w1`, wide),
    ...linear(`${layer}.1.fn.fn.w2`, 'blocks.*.feedForward.contract'),
  ];
}

export const performerPytorch = pretrainedFamily({
  modelType: 'performer-pytorch',
  architectures: ['PerformerLM'],
  fields: z.strictObject(fields),
  options: (config) => {
    const { dim_head: headDim, nb_features: featureCount = Math.trunc(headDim * Math.log(headDim)) } = config;
    const features = config.generalized_attention
      ? { name: 'relu', featureCount, kernelEpsilon: 1e-3 }
      : { name: 'positive', featureCount, featureEpsilon: 1e-4 };
    return {
      model: 'encoder',
      vocabularySize: config.num_tokens,
      ...{ dim: config.dim, depth: config.depth, heads: config.heads, headDim },
      ...{ feedForwardWidth: config.dim * config.ff_mult, activation: config.ff_glu ? 'geglu' : 'gelu' },
      norm: config.use_rezero ? { kind: 'rezero' } : { kind: 'layer', epsilon: 1e-5 },
      attention: { kind: 'favor+', features },
      ...{ qkvBias: config.qkv_bias, outputBias: config.attn_out_bias, tiedEmbedding: config.tie_embed },
      positions: config.rotary_position_emb
        ? { kind: 'rotary', waves: true }
        : { kind: 'learned', maxLength: config.max_seq_len },
    };
  },
  prefix: 'net.', // of the wrapper
  derived: ['performer.proj_updater.calls_since_last_redraw', 'pos_emb.emb', 'layer_pos_emb.emb'],
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
    ...(config.rotary_position_emb ? [] : [same('pos_emb.emb.weight', 'positions.weight')]),
    ...layerRules(config),
    ...norm('norm', 'norm'),
    ...(config.tie_embed ? [] : linear('to_out', 'logits')),
  ],
});

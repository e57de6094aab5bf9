/** Llama (Touvron et al. 2023), and its likes: Mistral with a sliding window, Qwen2 with biases of queries, keys and values. */
import * as z from 'zod';
import { epsilon, hiddenOf, only, pretrainedFamily, size } from './family.js';
import { linear, norm, same } from './tensors.js';

const factor = z.number().min(1).max(1e6);
const kindOf = (given: unknown) => {
  // Older files call the kind of scaling `type`.
  if (typeof given !== 'object' || given === null || !('type' in given)) return given;
  const { type, ...rest } = given;
  return { rope_type: type, ...rest };
};
const scaling = z.preprocess(
  kindOf,
  z.discriminatedUnion('rope_type', [
    z.strictObject({ rope_type: z.literal('default') }),
    z.strictObject({ rope_type: z.literal('linear'), factor }),
    z.strictObject({
      ...{ rope_type: z.literal('llama3'), factor, original_max_position_embeddings: size },
      ...{ low_freq_factor: z.number().positive(), high_freq_factor: z.number().positive() },
    }),
  ]),
);

function scalingOf(given: z.output<typeof scaling> | undefined): object | undefined {
  switch (given?.rope_type) {
    case 'linear':
      return { kind: 'linear', factor: given.factor };
    case 'llama3':
      return {
        ...{ kind: 'llama3', factor: given.factor, originalLength: given.original_max_position_embeddings },
        ...{ lowFrequency: given.low_freq_factor, highFrequency: given.high_freq_factor },
      };
    default:
      return undefined;
  }
}

function scalingFieldOf(own: object | undefined): object | undefined {
  const { kind, factor, originalLength, lowFrequency, highFrequency } = (own ?? {}) as Readonly<
    Record<string, unknown>
  >;
  if (kind === 'linear') return { rope_type: 'linear', factor };
  if (kind !== 'llama3') return undefined;
  return {
    ...{ rope_type: 'llama3', factor, original_max_position_embeddings: originalLength },
    ...{ low_freq_factor: lowFrequency, high_freq_factor: highFrequency },
  };
}

const fields = {
  ...{ vocab_size: size, hidden_size: size, num_hidden_layers: size, intermediate_size: size },
  num_attention_heads: size,
  num_key_value_heads: size.optional(),
  head_dim: size.optional(),
  /** Positions are computed, so that longer texts are read as well. */
  max_position_embeddings: size.optional(),
  hidden_act: z.enum(['silu', 'swish']).default('silu'),
  rms_norm_eps: epsilon.default(1e-6),
  rope_theta: z.number().min(1).max(1e12).default(10_000),
  rope_scaling: scaling.optional(),
  tie_word_embeddings: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
};

type Config = z.output<z.ZodObject<typeof fields>>;

interface Variant<S extends z.ZodRawShape> {
  readonly modelType: string;
  readonly architecture: string;
  readonly fields: S;
  readonly qkvBias: boolean;
  attention?(config: Readonly<Record<string, unknown>>): object;
  /** Which of its own fields say the attention of a config of ours. */
  attentionFieldsOf?(attention: unknown): object;
}

function llamaFamily<S extends z.ZodRawShape>({ modelType, architecture, fields: more, ...own }: Variant<S>) {
  return pretrainedFamily({
    modelType,
    architectures: [`${architecture}ForCausalLM`],
    fields: z.strictObject({ ...fields, ...more }),
    options: (given) => {
      const config = given as unknown as Config;
      return {
        model: 'causal-language-model',
        vocabularySize: config.vocab_size,
        ...{ dim: config.hidden_size, depth: config.num_hidden_layers, heads: config.num_attention_heads },
        keyHeads: config.num_key_value_heads ?? config.num_attention_heads,
        headDim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
        ...{ feedForwardWidth: config.intermediate_size, feedForwardBias: config.mlp_bias, activation: 'swiglu' },
        norm: { kind: 'rms', epsilon: config.rms_norm_eps },
        ...{ qkvBias: own.qkvBias || config.attention_bias, outputBias: config.attention_bias },
        positions: { kind: 'rotary', base: config.rope_theta, scaling: scalingOf(config.rope_scaling) },
        ...{ tiedEmbedding: config.tie_word_embeddings, logitsBias: false },
        ...(own.attention && { attention: own.attention(given) }),
      };
    },
    fieldsOf: (ours) => ({
      ...{ vocab_size: ours.vocabularySize, hidden_size: ours.dim, num_hidden_layers: ours.depth },
      ...{ num_attention_heads: ours.heads, num_key_value_heads: ours.keyHeads ?? ours.heads, head_dim: ours.headDim },
      ...{ intermediate_size: hiddenOf(ours), hidden_act: 'silu', rms_norm_eps: ours.norm.epsilon },
      ...{ rope_theta: ours.positions.base, rope_scaling: scalingFieldOf(ours.positions.scaling) },
      tie_word_embeddings: ours.tiedEmbedding,
      ...('mlp_bias' in more ? {} : { mlp_bias: ours.feedForwardBias }),
      ...('attention_bias' in more ? {} : { attention_bias: ours.outputBias }),
      ...own.attentionFieldsOf?.(ours.attention),
    }),
    derived: ['model.layers.*.self_attn.rotary_emb.inv_freq'],
    copies: (given) =>
      (given as unknown as Config).tie_word_embeddings ? [['lm_head.weight', 'model.embed_tokens.weight']] : [],
    rules: (given) => {
      const config = given as unknown as Config;
      const [from, to] = ['model.layers.*', 'blocks.*'];
      const bias = own.qkvBias || config.attention_bias;
      const part = (theirs: string, ours: string) =>
        linear(`${from}.self_attn.${theirs}_proj`, `${to}.attention.${ours}`, { bias });
      return [
        same('model.embed_tokens.weight', 'embedding.weight'),
        ...norm(`${from}.input_layernorm`, `${to}.attentionNorm`, { bias: false }),
        ...[...part('q', 'query'), ...part('k', 'key'), ...part('v', 'value')],
        ...linear(`${from}.self_attn.o_proj`, `${to}.attention.output`, { bias: config.attention_bias }),
        ...norm(`${from}.post_attention_layernorm`, `${to}.feedForwardNorm`, { bias: false }),
        ...(
          [
            ['gate', 'gate'],
            ['up', 'expand'],
            ['down', 'contract'],
          ] as const
        ).flatMap(([theirs, ours]) =>
          linear(`${from}.mlp.${theirs}_proj`, `${to}.feedForward.${ours}`, { bias: config.mlp_bias }),
        ),
        ...norm('model.norm', 'norm', { bias: false }),
        ...(config.tie_word_embeddings ? [] : linear('lm_head', 'logits', { bias: false })),
      ];
    },
  });
}

export const llama = llamaFamily({
  modelType: 'llama',
  architecture: 'Llama',
  fields: { pretraining_tp: z.unknown().optional() }, // how products were cut in training
  qkvBias: false,
});

export const mistral = llamaFamily({
  modelType: 'mistral',
  architecture: 'Mistral',
  fields: { sliding_window: size.optional(), attention_bias: only(false) },
  qkvBias: false,
  attention: ({ sliding_window: window }) => (window === undefined ? { kind: 'softmax' } : { kind: 'window', window }),
  attentionFieldsOf: (attention) => ({ sliding_window: (Object(attention) as { readonly window?: number }).window }),
});

export const qwen2 = llamaFamily({
  modelType: 'qwen2',
  architecture: 'Qwen2',
  fields: {
    attention_bias: only(false),
    use_sliding_window: only(false),
    ...{ sliding_window: z.unknown().optional(), max_window_layers: z.unknown().optional() }, // without a window they say nothing
  },
  qkvBias: true,
});

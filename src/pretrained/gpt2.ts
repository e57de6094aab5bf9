/** GPT-2 (Radford et al. 2019): weights are [inputs, outputs] as ours, and queries, keys and values one product. */
import * as z from 'zod';
import {
  activation,
  activationNamed,
  activationOf,
  epsilon,
  hiddenOf,
  only,
  pretrainedFamily,
  size,
} from './family.js';
import { linear, norm, same } from './tensors.js';

export const gpt2 = pretrainedFamily({
  modelType: 'gpt2',
  architectures: ['GPT2LMHeadModel', 'GPT2Model'],
  fields: z.strictObject({
    ...{ vocab_size: size, n_positions: size, n_embd: size, n_layer: size, n_head: size },
    n_ctx: size.optional(),
    n_inner: size.optional(),
    activation_function: activation.default('gelu_new'),
    layer_norm_epsilon: epsilon.default(1e-5),
    scale_attn_weights: only(true),
    scale_attn_by_inverse_layer_idx: only(false),
    add_cross_attention: only(false),
    tie_word_embeddings: only(true),
    /** Changes rounding alone. */
    reorder_and_upcast_attn: z.boolean().optional(),
    ...{
      summary_activation: z.unknown().optional(),
      summary_first_dropout: z.unknown().optional(),
      summary_proj_to_labels: z.unknown().optional(),
    },
    ...{ summary_type: z.unknown().optional(), summary_use_proj: z.unknown().optional() }, // of heads that are not read
  }),
  options: (config) => ({
    model: 'causal-language-model',
    vocabularySize: config.vocab_size,
    ...{ dim: config.n_embd, depth: config.n_layer, heads: config.n_head, headDim: config.n_embd / config.n_head },
    feedForwardWidth: config.n_inner ?? 4 * config.n_embd,
    activation: activationOf(config.activation_function),
    norm: { kind: 'layer', epsilon: config.layer_norm_epsilon },
    qkvBias: true,
    positions: { kind: 'learned', maxLength: config.n_positions },
    tiedEmbedding: true,
  }),
  fieldsOf: (own) => ({
    ...{ vocab_size: own.vocabularySize, n_positions: own.positions.maxLength, n_embd: own.dim, n_layer: own.depth },
    ...{ n_head: own.heads, n_inner: hiddenOf(own), activation_function: activationNamed(own.activation) },
    ...{ layer_norm_epsilon: own.norm.epsilon, tie_word_embeddings: true },
  }),
  prefix: 'transformer.',
  derived: ['h.*.attn.bias', 'h.*.attn.masked_bias'],
  copies: () => [['lm_head.weight', 'wte.weight']],
  rules: () => {
    const [from, to] = ['h.*', 'blocks.*'];
    const isTurned = true;
    return [
      same('wte.weight', 'embedding.weight'),
      same('wpe.weight', 'positions.weight'),
      ...norm(`${from}.ln_1`, `${to}.attentionNorm`),
      ...linear(
        `${from}.attn.c_attn`,
        ['query', 'key', 'value'].map((part) => `${to}.attention.${part}`),
        { isTurned },
      ),
      ...linear(`${from}.attn.c_proj`, `${to}.attention.output`, { isTurned }),
      ...norm(`${from}.ln_2`, `${to}.feedForwardNorm`),
      ...linear(`${from}.mlp.c_fc`, `${to}.feedForward.expand`, { isTurned }),
      ...linear(`${from}.mlp.c_proj`, `${to}.feedForward.contract`, { isTurned }),
      ...norm('ln_f', 'norm'),
    ];
  },
});

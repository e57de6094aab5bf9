/**
 * GPT-NeoX (Black et al. 2022) and Pythia: attention and feed-forward layer side by side, and queries, keys and values as one
 * product whose outputs stand head by head. The first channels of a head turn, ours are the first ones of each half: the
 * channels of queries and keys change places, which no product of the two sees.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
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

const fields = {
  ...{ vocab_size: size, hidden_size: size, num_hidden_layers: size, num_attention_heads: size },
  intermediate_size: size,
  /** Positions are computed, so that longer texts are read as well. */
  max_position_embeddings: size.optional(),
  hidden_act: activation.default('gelu'),
  layer_norm_eps: epsilon.default(1e-5),
  rotary_pct: z.number().positive().max(1).default(0.25),
  rotary_emb_base: z.number().min(1).max(1e12).default(10_000),
  rope_theta: z.number().min(1).max(1e12).optional(),
  rope_scaling: z.never().optional(),
  attention_bias: only(true),
  use_parallel_residual: z.boolean().default(true),
  tie_word_embeddings: only(false),
};

type Config = z.output<z.ZodObject<typeof fields>>;

const headDimOf = (config: Config) => config.hidden_size / config.num_attention_heads;
/** How many channels of a head turn. */
const turningOf = (config: Config) => Math.trunc(headDimOf(config) * config.rotary_pct);

/** Which channel of a head of theirs is a channel of ours. */
function channelOf(channel: number, headDim: number, turning: number): number {
  const [half, pairs] = [headDim / 2, turning / 2];
  const place = channel % half;
  if (place < pairs) return channel < half ? place : pairs + place;
  return turning + (channel < half ? place - pairs : half - pairs + (place - pairs));
}

export const gptNeox = pretrainedFamily({
  modelType: 'gpt_neox',
  architectures: ['GPTNeoXForCausalLM'],
  fields: z.strictObject(fields),
  options: (config) => {
    const turning = turningOf(config);
    const { rotary_emb_base: base, rope_theta: other = base } = config;
    if (turning % 2 === 1 || turning === 0 || other !== base) {
      throw new PerformerError(
        'CONFIG',
        `config.json: expected rotary_pct that turns pairs of channels, and one base of angles, got rotary_pct ${config.rotary_pct}, ` +
          `rotary_emb_base ${base} and rope_theta ${other}. Such models are not understood.`,
      );
    }
    return {
      model: 'causal-language-model',
      vocabularySize: config.vocab_size,
      ...{ dim: config.hidden_size, depth: config.num_hidden_layers, heads: config.num_attention_heads },
      headDim: headDimOf(config),
      ...{ feedForwardWidth: config.intermediate_size, activation: activationOf(config.hidden_act) },
      norm: { kind: 'layer', epsilon: config.layer_norm_eps },
      qkvBias: true,
      positions: { kind: 'rotary', base, fraction: turning / headDimOf(config) },
      parallelResidual: config.use_parallel_residual,
      logitsBias: false,
    };
  },
  fieldsOf: (own) => ({
    ...{
      vocab_size: own.vocabularySize,
      hidden_size: own.dim,
      num_hidden_layers: own.depth,
      num_attention_heads: own.heads,
    },
    ...{
      intermediate_size: hiddenOf(own),
      hidden_act: activationNamed(own.activation),
      layer_norm_eps: own.norm.epsilon,
    },
    ...{ rotary_pct: own.positions.fraction, rotary_emb_base: own.positions.base, tie_word_embeddings: false },
    use_parallel_residual: own.parallelResidual,
  }),
  derived: [...['bias', 'masked_bias', 'rotary_emb.inv_freq'].map((name) => `gpt_neox.layers.*.attention.${name}`)],
  rules: (config) => {
    const [from, to] = ['gpt_neox.layers.*', 'blocks.*'];
    const [headDim, turning] = [headDimOf(config), turningOf(config)];
    return [
      same('gpt_neox.embed_in.weight', 'embedding.weight'),
      ...norm(`${from}.input_layernorm`, `${to}.attentionNorm`),
      ...linear(
        `${from}.attention.query_key_value`,
        ['query', 'key', 'value'].map((part) => `${to}.attention.${part}`),
        {
          outputOf(part, index) {
            const [head, channel] = [Math.floor(index / headDim), index % headDim];
            return (head * 3 + part) * headDim + (part === 2 ? channel : channelOf(channel, headDim, turning));
          },
        },
      ),
      ...linear(`${from}.attention.dense`, `${to}.attention.output`),
      ...norm(`${from}.post_attention_layernorm`, `${to}.feedForwardNorm`),
      ...linear(`${from}.mlp.dense_h_to_4h`, `${to}.feedForward.expand`),
      ...linear(`${from}.mlp.dense_4h_to_h`, `${to}.feedForward.contract`),
      ...norm('gpt_neox.final_layer_norm', 'norm'),
      ...linear('embed_out', 'logits', { bias: false }),
    ];
  },
});

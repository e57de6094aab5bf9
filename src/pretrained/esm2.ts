/**
 * ESM-2 (Lin et al. 2023), a language model of proteins: BERT with norms before the layers and rotary positions, whose embeddings
 * are scaled by how many tokens are masked.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { bertLayers, lmHead, lmHeadCopies, robertaHeadLayer } from './bert.js';
import {
  encoderFields,
  encoderNames,
  encoderOptions,
  epsilon,
  headOf,
  headRules,
  hiddenOf,
  only,
  pretrainedFamily,
  size,
} from './family.js';
import { labelFields } from './labels.js';
import { norm, same } from './tensors.js';

export const esm2 = pretrainedFamily({
  modelType: 'esm',
  architectures: ['EsmForMaskedLM', 'EsmModel', 'EsmForSequenceClassification', 'EsmForTokenClassification'],
  fields: z.strictObject({
    ...{ vocab_size: size, hidden_size: size, num_hidden_layers: size, num_attention_heads: size },
    ...{ intermediate_size: size, layer_norm_eps: epsilon.default(1e-12) },
    hidden_act: only('gelu'), // which the original does not ask
    /** Positions are computed, so that longer texts are read as well. */
    max_position_embeddings: size.optional(),
    position_embedding_type: z.literal('rotary'),
    emb_layer_norm_before: z.boolean().default(false),
    token_dropout: z.boolean().default(false),
    mask_token_id: z.int().min(0).optional(),
    ...{ is_folding_model: only(false), esmfold_config: z.never().optional() },
    ...{ is_decoder: only(false), add_cross_attention: only(false), tie_word_embeddings: only(true) },
    vocab_list: z.unknown().optional(), // the tokens by name, which a tokenizer knows
    chunk_size_feed_forward: z.unknown().optional(),
    ...labelFields,
  }),
  options: (config, architecture) => {
    const { token_dropout: isScaled, mask_token_id: mask, vocab_size: count } = config;
    if (isScaled && mask !== count - 1) {
      throw new PerformerError(
        'CONFIG',
        `config.json: expected the last token, ${count - 1}, as mask_token_id beside token_dropout, got ${mask}. Such models are not understood.`,
      );
    }
    return {
      ...encoderOptions(architecture, config, robertaHeadLayer),
      vocabularySize: count,
      ...{ dim: config.hidden_size, depth: config.num_hidden_layers, heads: config.num_attention_heads },
      headDim: config.hidden_size / config.num_attention_heads,
      ...{ feedForwardWidth: config.intermediate_size, activation: 'gelu' },
      norm: { kind: 'layer', epsilon: config.layer_norm_eps },
      positions: { kind: 'rotary' },
      ...{ embeddingNorm: config.emb_layer_norm_before, maskScaling: isScaled },
    };
  },
  fieldsOf: (own) => ({
    ...encoderFields('Esm', own),
    ...{ vocab_size: own.vocabularySize, hidden_size: own.dim, num_hidden_layers: own.depth },
    ...{ num_attention_heads: own.heads, intermediate_size: hiddenOf(own), layer_norm_eps: own.norm.epsilon },
    ...{ position_embedding_type: 'rotary', emb_layer_norm_before: own.embeddingNorm },
    ...{ token_dropout: own.maskScaling, mask_token_id: (own.vocabularySize ?? 0) - 1 },
    pad_token_id: 1, // which the original needs to be some token
  }),
  prefix: 'esm.',
  nameOf: encoderNames('esm.', /^(lm_head|classifier)\./),
  derived: ['embeddings.position_ids', 'encoder.layer.*.attention.self.rotary_embeddings.inv_freq'],
  unused: [
    ...['contact_head.regression.weight', 'contact_head.regression.bias', 'embeddings.position_embeddings.weight'],
    ...['pooler.dense.weight', 'pooler.dense.bias'],
  ],
  copies: (_, architecture) => (headOf(architecture) === 'logits' ? lmHeadCopies : []),
  rules: (config, architecture) => [
    same('embeddings.word_embeddings.weight', 'embedding.weight'),
    ...(config.emb_layer_norm_before ? norm('embeddings.layer_norm', 'embeddingNorm') : []),
    ...bertLayers(),
    ...norm('encoder.layer.*.attention.LayerNorm', 'blocks.*.attentionNorm'),
    ...norm('encoder.layer.*.LayerNorm', 'blocks.*.feedForwardNorm'),
    ...norm('encoder.emb_layer_norm_after', 'norm'),
    ...headRules(architecture, robertaHeadLayer, lmHead),
  ],
});

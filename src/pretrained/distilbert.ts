/** DistilBERT (Sanh et al. 2019): BERT of fewer layers without kinds of tokens, by other names. */
import * as z from 'zod';
import {
  activation,
  activationNamed,
  activationOf,
  encoderFields,
  encoderNames,
  encoderOptions,
  headOf,
  headRules,
  hiddenOf,
  only,
  pretrainedFamily,
  size,
} from './family.js';
import { labelFields } from './labels.js';
import { linear, norm, same } from './tensors.js';

const headLayer = { dense: 'pre_classifier', activation: 'relu', head: 'classifier' } as const;
const logits = [
  ...linear('vocab_transform', 'prediction.dense'),
  ...norm('vocab_layer_norm', 'prediction.norm'),
  same('vocab_projector.bias', 'logits.bias'),
];

export const distilbert = pretrainedFamily({
  modelType: 'distilbert',
  architectures: [
    ...['DistilBertForMaskedLM', 'DistilBertModel'],
    ...['DistilBertForSequenceClassification', 'DistilBertForTokenClassification'],
  ],
  fields: z.strictObject({
    ...{ vocab_size: size, dim: size, n_layers: size, n_heads: size, hidden_dim: size, max_position_embeddings: size },
    activation: activation.default('gelu'),
    /** What the table of positions began as. */
    sinusoidal_pos_embds: z.boolean().optional(),
    ...{ tie_word_embeddings: only(true), tie_weights_: only(true) },
    chunk_size_feed_forward: z.unknown().optional(),
    ...labelFields,
  }),
  options: (config, architecture) => ({
    ...encoderOptions(architecture, config, headLayer),
    vocabularySize: config.vocab_size,
    ...{ dim: config.dim, depth: config.n_layers, heads: config.n_heads, headDim: config.dim / config.n_heads },
    ...{ feedForwardWidth: config.hidden_dim, activation: activationOf(config.activation) },
    norm: { kind: 'layer', placement: 'post', epsilon: 1e-12 },
    positions: { kind: 'learned', maxLength: config.max_position_embeddings },
  }),
  fieldsOf: (own) => ({
    ...encoderFields('DistilBert', own),
    ...{ vocab_size: own.vocabularySize, dim: own.dim, n_layers: own.depth, n_heads: own.heads },
    ...{ hidden_dim: hiddenOf(own), activation: activationNamed(own.activation) },
    max_position_embeddings: own.positions.maxLength,
  }),
  prefix: 'distilbert.',
  nameOf: encoderNames('distilbert.', /^(vocab_|pre_classifier|classifier)/),
  derived: ['embeddings.position_ids'],
  copies: (_, architecture) =>
    headOf(architecture) === 'logits' ? [['vocab_projector.weight', 'embeddings.word_embeddings.weight']] : [],
  rules: (_, architecture) => {
    const [from, to] = ['transformer.layer.*', 'blocks.*'];
    const parts = [
      ['q_lin', 'query'],
      ['k_lin', 'key'],
      ['v_lin', 'value'],
      ['out_lin', 'output'],
    ] as const;
    return [
      same('embeddings.word_embeddings.weight', 'embedding.weight'),
      same('embeddings.position_embeddings.weight', 'positions.weight'),
      ...norm('embeddings.LayerNorm', 'embeddingNorm'),
      ...parts.flatMap(([theirs, ours]) => linear(`${from}.attention.${theirs}`, `${to}.attention.${ours}`)),
      ...norm(`${from}.sa_layer_norm`, `${to}.attentionNorm`),
      ...linear(`${from}.ffn.lin1`, `${to}.feedForward.expand`),
      ...linear(`${from}.ffn.lin2`, `${to}.feedForward.contract`),
      ...norm(`${from}.output_layer_norm`, `${to}.feedForwardNorm`),
      ...headRules(architecture, headLayer, logits),
    ];
  },
});

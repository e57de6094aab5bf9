/**
 * BERT (Devlin et al. 2019), and RoBERTa (Liu et al. 2019), which is the same but for names: its positions begin behind those of
 * padding, and its head has always gelu.
 */
import * as z from 'zod';
import {
  activation,
  activationNamed,
  activationOf,
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
import { linear, norm, same, type TensorRule, tailRows } from './tensors.js';

const fields = {
  ...{ vocab_size: size, hidden_size: size, num_hidden_layers: size, num_attention_heads: size },
  ...{ intermediate_size: size, max_position_embeddings: size },
  hidden_act: activation.default('gelu'),
  layer_norm_eps: epsilon.default(1e-12),
  type_vocab_size: size.default(2),
  position_embedding_type: only('absolute'),
  ...{ is_decoder: only(false), add_cross_attention: only(false), tie_word_embeddings: only(true) },
  /** How products are cut, which changes rounding alone. */
  chunk_size_feed_forward: z.unknown().optional(),
  pad_token_id: z.int().min(0).default(0),
  /** Of a pooler of other years, which nothing reads. */
  ...{ pooler_fc_size: z.unknown().optional(), pooler_num_attention_heads: z.unknown().optional() },
  ...{ pooler_num_fc_layers: z.unknown().optional(), pooler_size_per_head: z.unknown().optional() },
  ...{ pooler_type: z.unknown().optional(), directionality: only('bidi') },
  ...labelFields,
};

type Config = z.output<z.ZodObject<typeof fields>>;

function optionsOf(config: Config, maxLength: number) {
  return {
    vocabularySize: config.vocab_size,
    ...{ dim: config.hidden_size, depth: config.num_hidden_layers, heads: config.num_attention_heads },
    headDim: config.hidden_size / config.num_attention_heads,
    ...{ feedForwardWidth: config.intermediate_size, activation: activationOf(config.hidden_act) },
    norm: { kind: 'layer', placement: 'post', epsilon: config.layer_norm_eps },
    positions: { kind: 'learned', maxLength },
    tokenTypes: config.type_vocab_size,
  };
}

/** The layers but for the norms, whose names BERT and its likes share; ViT has another name for `self`, and may have no biases in it. */
export function bertLayers({ self = 'self', bias = true } = {}): readonly TensorRule[] {
  const [from, to] = ['encoder.layer.*', 'blocks.*'];
  return [
    ...['query', 'key', 'value'].flatMap((part) =>
      linear(`${from}.attention.${self}.${part}`, `${to}.attention.${part}`, { bias }),
    ),
    ...linear(`${from}.attention.output.dense`, `${to}.attention.output`),
    ...linear(`${from}.intermediate.dense`, `${to}.feedForward.expand`),
    ...linear(`${from}.output.dense`, `${to}.feedForward.contract`),
  ];
}

function rules(reserved: number): readonly TensorRule[] {
  return [
    same('embeddings.word_embeddings.weight', 'embedding.weight'),
    tailRows('embeddings.position_embeddings.weight', 'positions.weight', reserved),
    same('embeddings.token_type_embeddings.weight', 'types.weight'),
    ...norm('embeddings.LayerNorm', 'embeddingNorm'),
    ...bertLayers(),
    ...norm('encoder.layer.*.attention.output.LayerNorm', 'blocks.*.attentionNorm'),
    ...norm('encoder.layer.*.output.LayerNorm', 'blocks.*.feedForwardNorm'),
  ];
}

const derived = ['embeddings.position_ids', 'embeddings.token_type_ids'];
const pooler = ['pooler.dense.weight', 'pooler.dense.bias'];
const headLayer = { dense: 'pooler.dense', activation: 'tanh', head: 'classifier' } as const;
const logits = [
  ...linear('cls.predictions.transform.dense', 'prediction.dense'),
  ...norm('cls.predictions.transform.LayerNorm', 'prediction.norm'),
  same('cls.predictions.bias', 'logits.bias'),
];

export const bert = pretrainedFamily({
  modelType: 'bert',
  architectures: [
    ...['BertModel', 'BertForMaskedLM', 'BertForPreTraining'],
    ...['BertForSequenceClassification', 'BertForTokenClassification'],
  ],
  fields: z.strictObject(fields),
  options: (config, architecture) => ({
    ...encoderOptions(architecture, config, headLayer),
    ...optionsOf(config, config.max_position_embeddings),
  }),
  fieldsOf: (own) => ({
    ...encoderFields('Bert', own),
    ...{ vocab_size: own.vocabularySize, hidden_size: own.dim, num_hidden_layers: own.depth },
    ...{
      num_attention_heads: own.heads,
      intermediate_size: hiddenOf(own),
      hidden_act: activationNamed(own.activation),
    },
    ...{ max_position_embeddings: own.positions.maxLength, type_vocab_size: own.tokenTypes },
    layer_norm_eps: own.norm.epsilon,
  }),
  prefix: 'bert.',
  nameOf: encoderNames('bert.', /^(cls|classifier)\./),
  /** As files of the first years have them. */
  rename: (name) => name.replace(/LayerNorm\.gamma$/, 'LayerNorm.weight').replace(/LayerNorm\.beta$/, 'LayerNorm.bias'),
  derived,
  unused: [...pooler, 'cls.seq_relationship.weight', 'cls.seq_relationship.bias'],
  copies: (_, architecture) =>
    headOf(architecture) === 'logits'
      ? [
          ['cls.predictions.decoder.weight', 'embeddings.word_embeddings.weight'],
          ['cls.predictions.decoder.bias', 'cls.predictions.bias'],
        ]
      : [],
  rules: (_, architecture) => [...rules(0), ...headRules(architecture, headLayer, logits)],
});

/** Positions before the first one: those up to the number of padding. */
const reservedOf = ({ pad_token_id: padding }: Config) => padding + 1;

export const roberta = pretrainedFamily({
  modelType: 'roberta',
  architectures: [
    ...['RobertaForMaskedLM', 'RobertaModel'],
    ...['RobertaForSequenceClassification', 'RobertaForTokenClassification'],
  ],
  fields: z.strictObject({
    ...fields,
    hidden_act: only('gelu'),
    layer_norm_eps: epsilon.default(1e-5),
    type_vocab_size: size.default(1),
    pad_token_id: z.int().min(0).default(1),
  }),
  options: (config, architecture) => ({
    ...encoderOptions(architecture, config, robertaHeadLayer),
    ...optionsOf(config, config.max_position_embeddings - reservedOf(config)),
  }),
  prefix: 'roberta.',
  nameOf: encoderNames('roberta.', /^(lm_head|classifier)\./),
  derived,
  unused: pooler,
  copies: (_, architecture) => (headOf(architecture) === 'logits' ? lmHeadCopies : []),
  rules: (config, architecture) => [...rules(reservedOf(config)), ...headRules(architecture, robertaHeadLayer, lmHead)],
});

/** What tells the class of a text in RoBERTa and ESM-2. */
export const robertaHeadLayer = { dense: 'classifier.dense', activation: 'tanh', head: 'classifier.out_proj' } as const;

/** The head of RoBERTa and of ESM-2. */
export const lmHead = [
  ...linear('lm_head.dense', 'prediction.dense'),
  ...norm('lm_head.layer_norm', 'prediction.norm'),
  same('lm_head.bias', 'logits.bias'),
];

export const lmHeadCopies = [
  ['lm_head.decoder.weight', 'embeddings.word_embeddings.weight'],
  ['lm_head.decoder.bias', 'lm_head.bias'],
] as const;

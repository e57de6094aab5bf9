/** What is known of a family of pretrained models: which config it has, and which of our models that is. */
import * as z from 'zod';
import { classTargets, type labelFields, labelsOf, labelTargets, type ToldTargets } from './labels.js';
import { linear, type TensorRule } from './tensors.js';

/** What families know of a config of ours. */
export interface OwnConfig {
  readonly vocabularySize?: number | undefined;
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
  readonly keyHeads?: number | undefined;
  readonly headDim: number;
  readonly feedForwardMultiplier: number;
  readonly feedForwardWidth?: number | undefined;
  readonly feedForwardBias: boolean;
  readonly outputBias: boolean;
  readonly activation: string;
  readonly norm: { readonly kind: string; readonly epsilon?: number | undefined };
  readonly embeddingNorm: boolean;
  readonly tokenTypes?: number | undefined;
  readonly maskScaling?: boolean | undefined;
  readonly logitsLayer?: boolean | undefined;
  /** The family. */
  readonly model: string;
  readonly targets?: ToldTargets | undefined;
  readonly positions: {
    readonly kind: string;
    readonly maxLength?: number | undefined;
    readonly base?: number | undefined;
    readonly fraction?: number | undefined;
    readonly scaling?: { readonly kind: string } | undefined;
  };
  readonly attention: unknown;
  readonly parallelResidual: boolean;
  readonly qkvBias: boolean;
  /** Of models of images. */
  readonly image?: { readonly height: number; readonly channels: number } | undefined;
  readonly patch?: number | undefined;
  /** Of encoder-decoders. */
  readonly encoderDepth?: number | undefined;
  readonly beginToken?: number | undefined;
  readonly tiedEmbedding?: boolean | undefined;
}

/** The hidden width of the feed-forward layer. */
export function hiddenOf({ dim, feedForwardMultiplier, feedForwardWidth }: OwnConfig): number {
  return feedForwardWidth ?? Math.round(dim * feedForwardMultiplier);
}

/** A family as one record; `registry.ts` has them all. */
export interface PretrainedFamily<S extends z.ZodObject = z.ZodObject> {
  /** `model_type` of its config.json. */
  readonly modelType: string;
  /** The classes of the original whose weights are understood; `architectures` names one. */
  readonly architectures: readonly string[];
  /** The fields of config.json that change what is computed, with the values that are understood. */
  readonly fields: S;
  /** Our options for a config. Throws CONFIG by `problem` for values that cannot be had together. */
  options(config: z.output<S>, architecture: string): object;
  /** The fields of a config.json for a config of ours, of which `options` makes that config again where the family can say it. */
  fieldsOf?(config: OwnConfig): Readonly<Record<string, unknown>>;
  /** What becomes of the tensors. */
  rules(config: z.output<S>, architecture: string): readonly TensorRule[];
  /** A name as it is today, where files of other years have others. */
  rename?(name: string): string;
  /** What may stand before all names, or be missing. */
  readonly prefix?: string | undefined;
  /** The name of a tensor of the rules in files that are written; with the prefix before it unless given. */
  nameOf?(name: string, architecture: string): string;
  /** Tensors that follow from the config, such as masks, which are passed over. */
  readonly derived?: readonly string[] | undefined;
  /** Tensors of parts that our model does not have, and whose absence a note tells. */
  readonly unused?: readonly string[] | undefined;
  /** Parameters that no tensor becomes, which begin at 0, and which a note names. */
  begun?(config: z.output<S>, architecture: string): readonly string[];
  /** Tensors that must equal another where they are there. */
  copies?(config: z.output<S>, architecture: string): readonly (readonly [name: string, of: string])[];
}

/** A family with the type of its fields. */
export function pretrainedFamily<S extends z.ZodObject>(family: PretrainedFamily<S>): PretrainedFamily {
  return family as unknown as PretrainedFamily;
}

export const size = z
  .int()
  .min(1)
  .max(2 ** 24);
export const epsilon = z.number().positive().max(1);

/** A field that may have one value alone, which it has unless given. */
export function only<const V extends string | number | boolean>(value: V) {
  return z.literal(value).default(value as never);
}

const activations = {
  gelu: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
} as const;
/** The name of an activation. */
export const activation = z.enum(Object.keys(activations) as [keyof typeof activations]);

/** Our name of an activation. */
export function activationOf(name: z.output<typeof activation>) {
  return activations[name];
}

/** The name of one of our activations; of another the same, which the family does not know. */
export function activationNamed(own: string): string {
  return Object.entries(activations).find(([, name]) => name === own)?.[0] ?? own;
}

/** What stands behind the layers of an encoder: logits of tokens, the class of a text, that of each token, or nothing. */
export function headOf(architecture: string): 'logits' | 'text' | 'words' | 'none' {
  if (architecture.endsWith('ForSequenceClassification')) return 'text';
  if (architecture.endsWith('ForTokenClassification')) return 'words';
  return architecture.endsWith('Model') ? 'none' : 'logits';
}

/** The layer before the head that tells the class of a text. */
interface HeadLayer {
  /** Its name in the file. */
  readonly dense: string;
  readonly activation: 'tanh' | 'relu';
  /** The name of the head behind it. */
  readonly head: string;
}

/**
 * What encoders have in common: biases, a norm behind the embeddings, and what they are by what stands behind the layers, of which the
 * logits have BERT's layer. Without a head their logits mean nothing.
 */
export function encoderOptions(
  architecture: string,
  labels: z.output<z.ZodObject<typeof labelFields>>,
  { activation: headLayer }: HeadLayer,
) {
  const [shared, head] = [{ qkvBias: true, embeddingNorm: true }, headOf(architecture)];
  if (head === 'words') return { ...shared, model: 'token-classifier', targets: classTargets(labels) };
  if (head === 'text') {
    const own = { pooling: 'first', framed: true, headLayer, targets: labelTargets(labels) };
    return { ...shared, model: 'classifier', ...own };
  }
  const hasLogits = head === 'logits';
  return { ...shared, model: 'encoder', tiedEmbedding: true, logitsBias: hasLogits, logitsLayer: hasLogits };
}

/** The tensors of what stands behind the layers of an encoder. */
export function headRules(
  architecture: string,
  layer: HeadLayer,
  logits: readonly TensorRule[],
): readonly TensorRule[] {
  const head = headOf(architecture);
  if (head === 'text') return [...linear(layer.dense, 'headLayer'), ...linear(layer.head, 'head')];
  return { logits, words: linear('classifier', 'head'), none: [] }[head];
}

/** The fields that say what stands behind the layers of an encoder: its architecture, and what it tells. */
export function encoderFields(name: string, { model, logitsLayer, targets }: OwnConfig) {
  const heads = { classifier: 'ForSequenceClassification', 'token-classifier': 'ForTokenClassification' };
  const head = heads[model as keyof typeof heads] ?? (logitsLayer ? 'ForMaskedLM' : 'Model');
  return { architectures: [`${name}${head}`], ...(targets && labelsOf(targets)) };
}

/** Names of tensors of encoders in files: what stands behind the layers has no prefix, and nothing has where there is no head. */
export function encoderNames(prefix: string, head: RegExp): (name: string, architecture: string) => string {
  return (name, architecture) => (architecture.endsWith('Model') || head.test(name) ? name : `${prefix}${name}`);
}

/** Fields that change nothing of what a trained model computes: of training, of generation, and of Python. */
export const passedOver: readonly string[] = [
  ...['_name_or_path', 'architectures', 'model_type', 'torch_dtype', 'dtype', 'transformers_version', 'auto_map'],
  ...['bos_token_id', 'eos_token_id', 'pad_token_id', 'sep_token_id', 'decoder_start_token_id', 'task_specific_params'],
  ...['use_cache', 'gradient_checkpointing', 'output_attentions', 'output_hidden_states', 'return_dict', 'torchscript'],
  'output_past',
  ...[
    'initializer_range',
    'initializer_factor',
    'problem_type',
    'finetuning_task',
    'id2label',
    'label2id',
    'tokenizer_class',
  ],
  ...[
    'attention_dropout',
    'attention_probs_dropout_prob',
    'hidden_dropout',
    'hidden_dropout_prob',
    'classifier_dropout',
  ],
  ...['attn_pdrop', 'embd_pdrop', 'resid_pdrop', 'dropout', 'qa_dropout', 'seq_classif_dropout'],
];

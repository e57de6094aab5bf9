/** The options of the front door's trainings as types; the schema of `training` checks them, as those of `options.ts`. */
import { optionFields } from '../base/options.js';
import { type RunEvent, trainingSchema } from '../training/index.js';
import type { ImagePositionsOption } from './layer-options.js';
import type { Given, ModelOptions, PatchOptions, TextModelOptions, TokenModelOptions } from './options.js';

/** The training. What is not given is the preset's, or its default. */
export interface TrainingRunOptions {
  /** Of everything random: equal seeds give equal models; 0 unless given. */
  readonly seed?: number | undefined;
  /** Optimizer steps in all. */
  readonly steps?: number | undefined;
  /** Windows side by side. */
  readonly batch?: number | undefined;
  /** Tokens of a window. */
  readonly window?: number | undefined;
  /** Batches whose gradients are averaged for one step; 1 unless given. */
  readonly accumulation?: number | undefined;
  /** The highest learning rate. */
  readonly learningRate?: number | undefined;
  /** How the learning rate falls after the warm-up; cosine unless given. */
  readonly schedule?: 'cosine' | 'linear' | 'constant' | 'inverse-square-root' | undefined;
  /** Steps over which the learning rate rises; a twentieth of all unless given. */
  readonly warmup?: number | undefined;
  /** The last learning rate as a part of the highest; 0.05 unless given. */
  readonly finalFraction?: number | undefined;
  /** How gradients become steps: AdamW, or Muon for the matrices of the blocks; the preset's unless given. */
  readonly optimizer?: 'adamw' | 'muon' | undefined;
  /** Muon: decay of the sum of the gradients; 0.95 unless given. */
  readonly momentum?: number | undefined;
  /** AdamW: decay of the mean of the gradients; 0.9 unless given. */
  readonly beta1?: number | undefined;
  /** AdamW: decay of the mean of their squares; 0.98 unless given. */
  readonly beta2?: number | undefined;
  /** AdamW: added to the root of the latter; 10⁻⁸ unless given. */
  readonly adamEpsilon?: number | undefined;
  /** Decay of the weights, times the learning rate; 0.1 unless given. */
  readonly weightDecay?: number | undefined;
  /** The largest norm of the gradient; 1 unless given. */
  readonly clipNorm?: number | undefined;
  /** Part of the embedding that is dropped in training, from 0 to below 1; 0 unless given. */
  readonly embeddingDropout?: number | undefined;
  /** The same of the attention output. */
  readonly attentionDropout?: number | undefined;
  /** The same of the feed-forward layers. */
  readonly feedForwardDropout?: number | undefined;
  /** Read the text in order, and carry attention's state from window to window; false unless given. */
  readonly carryState?: boolean | undefined;
  /** Compute the blocks again for the gradient: less memory, a fifth more time; false unless given. */
  readonly recompute?: boolean | undefined;
  /** Tokens that causal attention takes at once, which changes the speed alone; 64 unless given. */
  readonly chunk?: number | undefined;
  /** Tokens of a batch that the feed-forward layers take at once: less memory, and one of their products once more; all unless given. */
  readonly feedForwardChunk?: number | undefined;
  /** Steps between new random projections, 0 for never; 1,000 unless given. */
  readonly redrawInterval?: number | undefined;
  /**
   * The part that is held out, by whose loss the best weights are chosen: the end of a text, or some of labelled texts,
   * chosen by the seed; above 0 and below 1, 0.05 unless given.
   */
  readonly heldOut?: number | undefined;
  /**
   * Of a model to go on from (`from`): learn changes of the matrices of its blocks of this rank alone (LoRA), and whole what it
   * lacks, such as a new head. All weights learn unless given.
   */
  readonly loraRank?: number | undefined;
  /** How much these changes count: loraAlpha/loraRank; twice the rank unless given. */
  readonly loraAlpha?: number | undefined;
  /** Steps between evaluations on it; a tenth of all, and 200 at least, unless given. */
  readonly evaluationInterval?: number | undefined;
}

/**
 * What a training tells: after each step its loss (nats a token, or squared units), its learning rate and the norm of its
 * gradient, and after each evaluation what was measured on what was held out. `steps` is how many there are in all.
 */
export type TrainingProgress = Exclude<RunEvent, { readonly kind: 'checkpoint' }> & { readonly steps: number };

/** What every training takes. */
export interface AnyTraining extends ModelOptions, TrainingRunOptions {
  /** Called after each step and each evaluation, and awaited. */
  readonly onProgress?: ((progress: TrainingProgress) => void | PromiseLike<void>) | undefined;
  /** Ends the training after the step that is under way, or within an evaluation; the model so far is returned. */
  readonly signal?: AbortSignal | undefined;
}

/** A language model learns to continue a text. */
export interface LanguageModelTraining extends AnyTraining, TokenModelOptions {
  readonly task?: 'language-modelling' | undefined;
}

/** An encoder learns to guess tokens of a text that were masked. */
export interface EncoderTraining extends AnyTraining, TokenModelOptions {
  readonly task: 'masked-language-modelling';
}

/** A classifier learns the classes of texts. */
export interface ClassifierTraining extends AnyTraining, TextModelOptions {
  readonly task: 'classification';
  /** Whether every text counts equally, unless given, or every class, however many texts it has (balanced). */
  readonly classWeights?: 'equal' | 'balanced' | undefined;
}

/** A classifier learns which of some labels texts have. */
export interface MultiLabelClassifierTraining extends AnyTraining, TextModelOptions {
  readonly task: 'multi-label-classification';
}

/** A regressor learns numbers of texts. */
export interface RegressorTraining extends AnyTraining, TextModelOptions {
  readonly task: 'regression';
  /** The names of the numbers; `value`, or `value 1`, `value 2` …, unless given. */
  readonly names?: readonly string[] | undefined;
}

/** A token classifier learns the classes of words. */
export interface TokenClassifierTraining extends AnyTraining {
  readonly task: 'token-classification';
  /** Whether every word counts equally, unless given, or every class, however many words it has (balanced). */
  readonly classWeights?: 'equal' | 'balanced' | undefined;
}

/** An encoder-decoder learns to write a text of another. */
export interface EncoderDecoderTraining extends AnyTraining, TokenModelOptions {
  readonly task: 'sequence-to-sequence';
  /** Blocks of the encoder; as many as `depth` unless given. */
  readonly encoderDepth?: number | undefined;
}

/** An image classifier learns the classes of images. Images are read whole: there is no window. */
export interface ImageClassifierTraining extends Omit<AnyTraining, 'positions' | 'window'>, PatchOptions {
  readonly task: 'image-classification';
  /** Whether every image counts equally, unless given, or every class (balanced). */
  readonly classWeights?: 'equal' | 'balanced' | undefined;
}

/** A pixel model learns to paint images. Images are read whole: there is no window. */
export interface PixelModelTraining extends Omit<AnyTraining, 'positions' | 'window'>, TokenModelOptions {
  readonly task: 'image-modelling';
  /** Axial unless given: rows, columns and channels of the images. */
  readonly positions?: ImagePositionsOption | undefined;
}

/** The training of any task. */
export type TrainModelOptions =
  | LanguageModelTraining
  | EncoderTraining
  | ClassifierTraining
  | MultiLabelClassifierTraining
  | RegressorTraining
  | EncoderDecoderTraining
  | ImageClassifierTraining
  | PixelModelTraining
  | TokenClassifierTraining;

const trainingKeys = new Set(optionFields(trainingSchema).map(({ path }) => path[0]));

/** The options of a task beside its data. */
export type TaskOptions = Pick<ClassifierTraining, 'classWeights'> & Pick<RegressorTraining, 'names'>;

/** The options of the training, those of the task, and all others, which are the model's. */
export function splitOptions({ names, classWeights, ...given }: Given & TaskOptions): {
  readonly training: Given;
  readonly task: TaskOptions;
  readonly model: Given;
} {
  const part = (isTraining: boolean) =>
    Object.fromEntries(Object.entries(given).filter(([key]) => trainingKeys.has(key) === isTraining));
  return { training: part(true), task: { names, classWeights }, model: part(false) };
}

/**
 * The functions of the front door that make models. They are the same in this thread and in a worker: `Where` is what they
 * take beside (the engine, here), and `Here` what models have beside (their weights as arrays, here).
 */
import type { ModelKind } from '../models/index.js';
import type { Classifier, MultiLabelClassifier, Regressor } from './classifier.js';
import type { Encoder } from './encoder.js';
import type { EncoderDecoder } from './encoder-decoder.js';
import type { ImageClassifier, PixelModel } from './images.js';
import type { AnyModel, ModelsByKind } from './kinds.js';
import type { LanguageModel } from './language-model.js';
import type {
  ClassifierOptions,
  EncoderDecoderOptions,
  EncoderOptions,
  ImageClassifierOptions,
  LanguageModelOptions,
  MultiLabelClassifierOptions,
  PerformerOptions,
  PixelModelOptions,
  RegressorOptions,
  TokenClassifierOptions,
} from './options.js';
import type { Performer } from './performer.js';
import type { TokenClassifier } from './token-classifier.js';
import type {
  LabelledExamples,
  LabelledImages,
  PairExamples,
  TaggedExamples,
  TrainingImages,
  TrainingText,
} from './training-data.js';
import type {
  ClassifierTraining,
  EncoderDecoderTraining,
  EncoderTraining,
  ImageClassifierTraining,
  LanguageModelTraining,
  MultiLabelClassifierTraining,
  PixelModelTraining,
  RegressorTraining,
  TokenClassifierTraining,
} from './training-options.js';

/** What a model without a training begins with. */
export interface FreshWeights {
  /** Of the first weights and the random features; 0 unless given. */
  readonly seed?: number | undefined;
}

/** The options of `createModel`. */
export type CreateModelOptions = (
  | LanguageModelOptions
  | EncoderOptions
  | ClassifierOptions
  | MultiLabelClassifierOptions
  | RegressorOptions
  | PerformerOptions
  | EncoderDecoderOptions
  | ImageClassifierOptions
  | PixelModelOptions
  | TokenClassifierOptions
) &
  FreshWeights;

/** The function `createModel`: the kind of the model follows from the options. */
export interface CreateModel<Where, Here> {
  /**
   * A model with fresh weights, which says nothing of sense yet: those that `trainModel` with the same options begins with.
   *
   * @throws CONFIG for options that do not fit; DEVICE where the engine is not installed.
   */
  (options?: LanguageModelOptions & FreshWeights & Where): Promise<LanguageModel & Here>;
  (options: EncoderOptions & FreshWeights & Where): Promise<Encoder & Here>;
  (options: ClassifierOptions & FreshWeights & Where): Promise<Classifier & Here>;
  (options: MultiLabelClassifierOptions & FreshWeights & Where): Promise<MultiLabelClassifier & Here>;
  (options: RegressorOptions & FreshWeights & Where): Promise<Regressor & Here>;
  (options: EncoderDecoderOptions & FreshWeights & Where): Promise<EncoderDecoder & Here>;
  (options: PerformerOptions & FreshWeights & Where): Promise<Performer & Here>;
  (options: ImageClassifierOptions & FreshWeights & Where): Promise<ImageClassifier & Here>;
  (options: PixelModelOptions & FreshWeights & Where): Promise<PixelModel & Here>;
  (options: TokenClassifierOptions & FreshWeights & Where): Promise<TokenClassifier & Here>;
  (options: CreateModelOptions & Where): Promise<AnyModel & Here>;
}

/**
 * Where a model is: a folder (in Node), a URL of a folder (a browser takes it as a text, too), or its files by name. A GGUF file, whose
 * name ends in .gguf, is a model by itself.
 */
export type ModelSource = string | URL | ReadonlyMap<string, Uint8Array>;

/** The function `loadModel`. */
export interface LoadModel<Where, Here> {
  /**
   * A model that was saved by `saveModel`, by `performer train`, or by a `CheckpointFolder`. Its `kind` tells what it can
   * do; whoever knows it asks for it, and gets a model with the methods of that kind.
   *
   * @throws CHECKPOINT where there is none, or it is not as it was saved; CONFIG for one of another kind than was asked
   *   for, and for options that no model has.
   */
  (source: ModelSource, options?: { readonly kind?: undefined } & Where): Promise<AnyModel & Here>;
  <K extends ModelKind>(source: ModelSource, options: { readonly kind: K } & Where): Promise<ModelsByKind[K] & Here>;
}

/** What a training goes on from. */
export interface From<M> {
  /**
   * A model whose weights and options the new one begins with, instead of fresh ones. It stays as it is. A classifier (of
   * texts or of their words) or regressor that begins with an encoder takes all but the head from it.
   */
  readonly from?: M | undefined;
}

/** The function `trainModel`: the kind of the model follows from the task. */
export interface TrainModel<Where, Here> {
  /**
   * Trains a model on texts or images, by the task that is named. It has the weights that did best on what was held out, or the last
   * ones where it was stopped before the first evaluation. Equal seeds give equal models.
   *
   * @throws CONFIG for options that do not fit; DATA for too little text, and labels that do not fit; NUMERIC where the
   *   loss is no longer finite; DEVICE where the engine is not installed or fails.
   */
  (
    text: TrainingText,
    options?: LanguageModelTraining & From<LanguageModel & Here> & Where,
  ): Promise<LanguageModel & Here>;
  (text: TrainingText, options: EncoderTraining & From<Encoder & Here> & Where): Promise<Encoder & Here>;
  (
    examples: LabelledExamples<string>,
    options: ClassifierTraining & From<(Classifier | Encoder) & Here> & Where,
  ): Promise<Classifier & Here>;
  (
    examples: LabelledExamples<readonly string[]>,
    options: MultiLabelClassifierTraining & From<(MultiLabelClassifier | Encoder) & Here> & Where,
  ): Promise<MultiLabelClassifier & Here>;
  (
    examples: LabelledExamples<number | readonly number[]>,
    options: RegressorTraining & From<(Regressor | Encoder) & Here> & Where,
  ): Promise<Regressor & Here>;
  (
    examples: TaggedExamples,
    options: TokenClassifierTraining & From<(TokenClassifier | Encoder) & Here> & Where,
  ): Promise<TokenClassifier & Here>;
  (
    pairs: PairExamples,
    options: EncoderDecoderTraining & From<EncoderDecoder & Here> & Where,
  ): Promise<EncoderDecoder & Here>;
  (
    images: LabelledImages,
    options: ImageClassifierTraining & From<ImageClassifier & Here> & Where,
  ): Promise<ImageClassifier & Here>;
  (images: TrainingImages, options: PixelModelTraining & From<PixelModel & Here> & Where): Promise<PixelModel & Here>;
}

/**
 * The front door: what most users need, in few lines, in Node and in a browser. It chooses the engine itself. The rooms
 * (`performer-ts/attention`, `performer-ts/training`, …) are for those who build.
 */
export { type ErrorCode, PerformerError } from './base/errors.js';
export {
  decodeImage,
  encodePng,
  huggingFaceTokenizer,
  type Image,
  type ImageSet,
  type ImageSize,
  type LabelledImage,
  registerTokenizer,
  type Span,
  type SpecialTokens,
  type TokenDecoder,
  type Tokenizer,
  type TokenizerFiles,
  type Word,
} from './data/index.js';
export { type AttentionArrays, type AttentionOptions, attention, type Numbers } from './door/attention.js';
export {
  type AttentionLayer,
  type AttentionLayerOptions,
  type CrossAttention,
  crossAttention,
  type FastAttention,
  type FastAttentionOptions,
  fastAttention,
  type Rows,
  type SelfAttention,
  type SelfAttentionOptions,
  selfAttention,
} from './door/attention-layers.js';
export type { Classification, Classifier, Labelling, MultiLabelClassifier, Regressor } from './door/classifier.js';
export type { Encoder } from './door/encoder.js';
export type { EncoderDecoder } from './door/encoder-decoder.js';
export type { BasicModel, Loaded, Local, TextModel } from './door/host.js';
export type {
  ImageBatchOptions,
  ImageClassifier,
  ImageEmbeddingOptions,
  PaintingOptions,
  PixelModel,
} from './door/images.js';
export type { AnyModel, ModelsByKind } from './door/kinds.js';
export { GeneratedText, type GenerationOptions, type LanguageModel, type ModelContext } from './door/language-model.js';
export type {
  AttentionKind,
  AttentionOption,
  FeatureOptions,
  FeaturesOption,
  ImagePositionsOption,
  NormOption,
  PositionsOption,
  QueryKeyNormOption,
} from './door/layer-options.js';
export { createModel, loadModel, saveModel } from './door/model.js';
export type {
  ClassifierOptions,
  EncoderDecoderOptions,
  EncoderOptions,
  EngineOption,
  ImageClassifierOptions,
  LanguageModelOptions,
  ModelOptions,
  MultiLabelClassifierOptions,
  PatchOptions,
  PerformerOptions,
  PixelModelOptions,
  RegressorOptions,
  TextModelOptions,
  TokenClassifierOptions,
  TokenModelOptions,
  TrunkOptions,
  VectorOptions,
} from './door/options.js';
export type { EmbeddingRows, Performer } from './door/performer.js';
export type {
  CreateModel,
  CreateModelOptions,
  FreshWeights,
  From,
  LoadModel,
  ModelSource,
  TrainModel,
} from './door/signatures.js';
export type { TokenClassifier, ToldWord, ToldWords } from './door/token-classifier.js';
export type { Tokens } from './door/token-logits.js';
export { trainModel } from './door/train.js';
export type {
  Label,
  LabelledExample,
  LabelledExamples,
  LabelledImages,
  PairExamples,
  TaggedExample,
  TaggedExamples,
  TextPiece,
  TrainingImages,
  TrainingText,
} from './door/training-data.js';
export type {
  AnyTraining,
  ClassifierTraining,
  EncoderDecoderTraining,
  EncoderTraining,
  ImageClassifierTraining,
  LanguageModelTraining,
  MultiLabelClassifierTraining,
  PixelModelTraining,
  RegressorTraining,
  TokenClassifierTraining,
  TrainingProgress,
  TrainingRunOptions,
  TrainModelOptions,
} from './door/training-options.js';
export type { Engine } from './engine/index.js';
export { exportOnnx, type OnnxDtype, type OnnxExportOptions, type OnnxForm } from './export/index.js';
export { type CustomFeatureMaps, type FeatureFamily, featureFamily, registerFeatureMap } from './features/index.js';
export { type MixerFamily, mixerFamily, registerMixer } from './mixers/index.js';
export type {
  ContextLoss,
  ContextReach,
  ContextRecord,
  EmbeddingOptions,
  GivenTokens,
  ModelKind,
  OctaveLoss,
  TextBatchOptions,
} from './models/index.js';
export { type NearestOptions, type Neighbour, nearest } from './search/index.js';

/**
 * The front door: what most users need, in few lines, in Node and in a browser. It chooses the engine itself. The rooms
 * (`performer-ts/attention`, `performer-ts/training`, …) are for those who build.
 */
export { type ErrorCode, PerformerError } from './base/errors.js';
export { registerTokenizer, type TokenDecoder, type Tokenizer } from './data/index.js';
export { type AttentionArrays, type AttentionOptions, attention, type Numbers } from './door/attention.js';
export {
  GeneratedText,
  type GenerationOptions,
  type LanguageModel,
  type LocalLanguageModel,
  type Tokens,
} from './door/language-model.js';
export { type CreateModelOptions, createModel, loadModel, type ModelSource, saveModel } from './door/model.js';
export type {
  AttentionOption,
  EngineOption,
  FeatureOptions,
  FeaturesOption,
  ModelOptions,
  PositionsOption,
  TrainingRunOptions,
} from './door/options.js';
export { type TrainingProgress, type TrainingText, type TrainModelOptions, trainModel } from './door/train.js';
export type { Engine } from './engine/index.js';
export { type CustomFeatureMaps, type FeatureFamily, featureFamily, registerFeatureMap } from './features/index.js';
export { type MixerFamily, mixerFamily, registerMixer } from './mixers/index.js';

/** Models: options, layouts, and functions from tokens to what a family predicts. */
export { attentionSamples } from './attention-samples.js';
export { rowInputs, rowSpecs } from './batch-inputs.js';
export {
  type ClassifierConfig,
  type ClassifierOptions,
  classifierConfig,
  classifierSchema,
} from './classifier.js';
export {
  type ContextLoss,
  type ContextReach,
  type ContextRecord,
  contextFile,
  contextReach,
  contextRecord,
  contextWarning,
  goodExcess,
  type WindowLosses,
} from './context.js';
export { decodeModel, openModel } from './decode-model.js';
export { createEmbedder, type Embedder, type EmbeddingOptions, embed, type VectorManner } from './embedding.js';
export { type EncoderConfig, type EncoderOptions, encoderConfig, encoderSchema } from './encoder.js';
export {
  type EncoderDecoderConfig,
  type EncoderDecoderOptions,
  encoderDecoderConfig,
  encoderDecoderSchema,
} from './encoder-decoder.js';
export {
  arrangeTensors,
  checkListed,
  encodeModel,
  type LoadedModel,
  modelFiles,
  type ReadOptions,
  tensorsOf,
} from './folder.js';
export { isGguf } from './gguf-model.js';
export {
  type ImageClassifierConfig,
  type ImageClassifierOptions,
  imageClassifierConfig,
  imageClassifierSchema,
} from './image-classifier.js';
export { type InputName, type InputSpecs, inputOf, type ModelInputs } from './inputs.js';
export {
  type LanguageModelConfig,
  type LanguageModelOptions,
  languageModelConfig,
  languageModelSchema,
} from './language-model.js';
export { forLongerTexts } from './longer-texts.js';
export { maskTokenOf } from './mask-token.js';
export {
  buffersDigest,
  canCarryState,
  type Execution,
  type FamilyPreset,
  hasBuffers,
  hasGrowingState,
  initialState,
  type Model,
  type ModelConfig,
  type ModelFamily,
  type ModelKind,
  type ModelResult,
  type ModelWeights,
  mapMixerBuffers,
  type PassOptions,
  type TokenConfig,
  tokenConfig,
} from './model.js';
export { meanLoss, type OctaveLoss, Octaves } from './octaves.js';
export { type PerformerConfig, type PerformerOptions, performerConfig, performerSchema } from './performer.js';
export { type PixelModelConfig, type PixelModelOptions, pixelModelConfig, pixelModelSchema } from './pixel-model.js';
export { createPredictor, likelyLabels, type Predictor, predict } from './prediction.js';
export { type PresetName, presetOf, presets } from './presets.js';
export { filesBeside, generationFile } from './pretrained-folder.js';
export { defaultFamily, familyOptions, modelConfig, modelFamily, modelNames, modelOf } from './registry.js';
export {
  type ClassTargets,
  expectTargets,
  type LabelTargets,
  type Targets,
  targetsOf,
  type ValueTargets,
  weightsToBegin,
} from './targets.js';
export type { GivenTokens, TextBatchOptions } from './text-vectors.js';
export {
  type TokenClassifierConfig,
  type TokenClassifierOptions,
  tokenClassifierConfig,
  tokenClassifierSchema,
} from './token-classifier.js';
export { neededTokens, textFrameOf, tokenizerOf } from './tokenizer.js';
export { told } from './told.js';
export type { TrunkRows, TrunkState } from './trunk.js';
export { attentionKinds, keyHeadsOf, mixersByLayer, type TrunkConfig } from './trunk-options.js';
export { readInWindows, type WindowOptions } from './windows.js';
export { createWordPredictor, type ToldWord, type ToldWords, type WordPredictor } from './word-prediction.js';

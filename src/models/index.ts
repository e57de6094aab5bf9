/** Models: configurations, initial parameters, and functions from tokens to logits. */
export { forwardOperations, tokenBytes, trainingOperations } from './arithmetic.js';
export { attentionSamples } from './attention-samples.js';
export {
  describeIssues,
  type LanguageModelConfig,
  type LanguageModelOptions,
  languageModelConfig,
  type PresetName,
  presets,
} from './config.js';
export {
  drawProjections,
  initialState,
  initLanguageModel,
  type LanguageModelInputs,
  type LanguageModelParams,
  type LanguageModelResult,
  type LanguageModelState,
  languageModelLayout,
  logitsOf,
  type Projections,
  projectionLayout,
  projectionsDigest,
  readTokens,
} from './language-model.js';
export { readInWindows, type WindowOptions } from './windows.js';

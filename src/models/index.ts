/** Models: configurations, initial parameters, and functions from tokens to logits. */
export { forwardOperations, tokenBytes, trainingOperations } from './arithmetic.js';
export { attentionSamples } from './attention-samples.js';
export {
  canCarryState,
  describeIssues,
  type LanguageModelConfig,
  type LanguageModelOptions,
  languageModelConfig,
  type PresetName,
  presets,
  readLanguageModelConfig,
  usesDropout,
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
  stateLayout,
} from './language-model.js';
export { readInWindows, type WindowOptions } from './windows.js';

/** Mixers: what lets the tokens of a text see each other. */
export { type AttentionCore, type AttentionParams, attentionMixer, type CoreResult } from './attention-mixer.js';
export { featureOptions } from './favor.js';
export {
  type MeasuredBuffers,
  type Mixer,
  type MixerFamily,
  type MixerOperations,
  type MixerOptionsOf,
  type MixerSizes,
  type MixerTraits,
  mixerFamily,
  type Problem,
} from './mixer.js';
export { type QueryKeyNorm, queryKeyNormChoice } from './query-key-norm.js';
export { buildMixer, completeMixer, type MixerChoice, mixerChoice, mixerProblems, registerMixer } from './registry.js';

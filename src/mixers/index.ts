/** Mixers: what lets the tokens of a text see each other. */
export {
  type AttentionLayerOptions,
  type CrossAttentionLayer,
  crossAttentionLayer,
  type FastAttentionLayer,
  type FastAttentionOptions,
  fastAttentionLayer,
  type SelfAttentionLayer,
  type SelfAttentionOptions,
  selfAttentionLayer,
} from './attention-layers.js';
export {
  type AttentionCore,
  type AttentionParams,
  attentionMixer,
  type CoreResult,
} from './attention-mixer.js';
export { type CoreWeights, type CrossCore, crossMixer } from './cross-mixer.js';
export { attentionDeferral } from './deferral.js';
export { featureOptions } from './favor.js';
export type { Forgetting } from './forgetting.js';
export {
  type CrossMixer,
  type MeasuredBuffers,
  type Mixer,
  type MixerFamily,
  type MixerOperations,
  type MixerOptionsOf,
  type MixerSizes,
  type MixerTraits,
  mixerFamily,
  type Problem,
  type ProblemSizes,
} from './mixer.js';
export { type QueryKeyNorm, queryKeyNormChoice } from './query-key-norm.js';
export {
  buildCrossMixer,
  buildCrossMixers,
  buildMixer,
  buildMixers,
  completeMixer,
  hasCross,
  isBlind,
  isShared,
  type MixerChoice,
  mixerChoice,
  mixerProblems,
  registerMixer,
} from './registry.js';

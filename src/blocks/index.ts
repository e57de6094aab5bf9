/** The parts that models are built of. */
export { type BlockParams, type BlockState, block, initBlock } from './block.js';
export { type DropoutKey, dropout } from './dropout.js';
export { type EmbeddingParams, embed, initEmbedding } from './embedding.js';
export { type FeedForwardParams, feedForward, initFeedForward } from './feed-forward.js';
export { initLinear, type LinearOptions, type LinearParams, linear } from './linear.js';
export { applyLayerNorm, initLayerNorm, type LayerNormParams } from './normalization.js';
export { positionsFrom, type RotaryAngles, rotaryAngles } from './position.js';
export {
  initSelfAttention,
  type SelfAttentionOptions,
  type SelfAttentionParams,
  type SelfAttentionState,
  selfAttention,
} from './self-attention.js';
export { shiftTokens, shiftWidth } from './token-shift.js';

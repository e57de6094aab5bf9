/** The parts that models are built of. */
export { type BlockParams, type BlockState, block, blockLayout } from './block.js';
export { type DropoutKey, dropout } from './dropout.js';
export { type EmbeddingParams, embed, embeddingLayout } from './embedding.js';
export { type FeedForwardParams, feedForward, feedForwardLayout } from './feed-forward.js';
export { type LinearOptions, type LinearParams, linear, linearLayout } from './linear.js';
export { applyLayerNorm, type LayerNormParams, layerNormLayout } from './normalization.js';
export { initialize, type ParameterSpec } from './parameter.js';
export { positionsFrom, type RotaryAngles, rotaryAngles } from './position.js';
export {
  type AttendedRows,
  type SelfAttentionOptions,
  type SelfAttentionParams,
  type SelfAttentionState,
  selfAttention,
  selfAttentionLayout,
} from './self-attention.js';
export { shiftTokens, shiftWidth } from './token-shift.js';

/** The parts that models are built of. */
export { type Block, type BlockOptions, block, type Slot, type Step } from './block.js';
export type {
  AttendedRows,
  Branch,
  BranchResult,
  Deferral,
  Memory,
  SharedAttention,
  SharedRows,
  SourceContext,
  TokenContext,
  Weights,
} from './branch.js';
export { joinDeferrals } from './branch.js';
export { type Dropout, type DropoutKey, type DropoutRates, dropout } from './dropout.js';
export { type EmbeddingParams, embed, embeddingLayout } from './embedding.js';
export {
  type Activation,
  activationNames,
  activationOf,
  type FeedForwardOptions,
  type FeedForwardParams,
  feedForward,
  feedForwardBranch,
  feedForwardLayout,
} from './feed-forward.js';
export { type Adapter, type LinearOptions, type LinearParams, linear, linearLayout } from './linear.js';
export { maskOfLengths } from './mask.js';
export { applyNorm, type NormKind, type NormParams, normLayout } from './normalization.js';
export { type Llama3Scaling, positionsFrom, type RotaryAngles, type RotaryOptions, rotaryAngles } from './position.js';
export { lastNormLayout, type NormOptions, normChoice, normOf, ownNormLayout } from './residual.js';
export { type Kept, type Stack, type StackOptions, type StackResult, stack } from './stack.js';
export { noTokens, shiftTokens, shiftWidth } from './token-shift.js';

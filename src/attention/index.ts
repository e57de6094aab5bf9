/** Attention: exact, and through feature maps in its bidirectional, causal and recurrent forms. */
export { bidirectionalAttention } from './bidirectional.js';
export { type CausalOptions, causalAttention, defaultChunk } from './causal.js';
export { type ExactOptions, type ExactState, exactAttention } from './exact.js';
export { denominatorFloor, stateFeatureCount } from './guard.js';
export type { AttentionInputs } from './layout.js';
export { recurrentAttention } from './recurrent.js';
export { type AttentionState, emptyLogScale } from './state.js';

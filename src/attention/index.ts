/** Attention: exact, and through feature maps in its bidirectional, causal and recurrent forms. */
export { bidirectionalAttention, bidirectionalTerms } from './bidirectional.js';
export { type CausalOptions, causalAttention, causalTerms, defaultChunk, largestChunk } from './causal.js';
export { type ClusteredOptions, clusteredAttention } from './clustered.js';
export type { ClusterOptions } from './clusters.js';
export { type PredictableMap, type PredictedMap, predictableMaps } from './correlation.js';
export {
  addRecent,
  type DeferredState,
  deferredAttention,
  deferredTerms,
  largestDeferredWeight,
  type RecentTokens,
} from './deferred.js';
export { predictAttentionError } from './error.js';
export { type ExactOptions, type ExactState, exactAttention, exactTerms } from './exact.js';
export { denominatorFloor, stateFeatureCount } from './guard.js';
export {
  bidirectionalHybridTerms,
  causalHybridTerms,
  type HybridOptions,
  type HybridState,
  hybridAttention,
} from './hybrid.js';
export {
  addRecentHybrid,
  deferredHybrid,
  type RecentHybrid,
  recurrentHybrid,
  recurrentHybridTerms,
} from './hybrid-recurrent.js';
export { type KernelOptions, kernelAttention, kernelTerms } from './kernel.js';
export type { AttentionInputs } from './layout.js';
export { type AttentionMapOptions, attentionMap, exactAttentionMap, type MapInputs } from './map.js';
export { type MeasureOptions, measureAttentionError, shapeOfSamples } from './measure.js';
export { normalizerTerm } from './normalizer.js';
export {
  type CandidateReport,
  defaultCandidates,
  defaultFeatureCounts,
  type FeatureCandidate,
  type FeatureEstimate,
  type Recommendation,
  type RecommendOptions,
  recommendFeatures,
} from './recommend.js';
export { recurrentAttention, recurrentTerms } from './recurrent.js';
export type { RelativeBias } from './relative-bias.js';
export {
  type RoutingHybridOptions,
  type RoutingHybridState,
  type RoutingOptions,
  routingAttention,
  routingHybridAttention,
} from './routing.js';
export { centroidLayout, measureCentroids } from './routing-clusters.js';
export {
  addToClusters,
  deferredRouting,
  deferredRoutingHybrid,
  type RecentRoutingHybrid,
  type RoutingTokenOptions,
  recurrentRouting,
  recurrentRoutingHybrid,
} from './routing-recurrent.js';
export { type RoutedKeys, type RoutingState, routingStateLayout } from './routing-state.js';
export type { AttentionSamples } from './samples.js';
export { readSource, type SourceInputs, sourceState } from './source.js';
export { type AttentionState, attentionStateLayout, emptyLogScale, mergeStates } from './state.js';
export { type AttentionTerms, divideTerms } from './terms.js';
export { attentionExactUpTo } from './up-to.js';
export { bidirectionalWindowTerms, causalWindowTerms, type WindowOptions, windowAttention } from './window.js';
export { addToWindow, type DeferredWindow, deferredWindow, recurrentWindow } from './window-recurrent.js';
export { type WindowState, windowStateLayout } from './window-state.js';

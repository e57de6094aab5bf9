/** Feature maps, whose products estimate kernels, and the random projections that they need. */
export type { FeatureMap, Features } from './feature-map.js';
export { type PositiveFeatureOptions, positiveFeatures } from './positive.js';
export { defaultFeatureCount, drawProjection, type ProjectionOptions, projectionDigest } from './projection.js';

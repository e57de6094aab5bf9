/** Feature maps, whose products estimate kernels, and the random projections that they need. */
export { cosformerFeatures } from './cosformer.js';
export { effectiveRank } from './effective-rank.js';
export { type KernelErrorOptions, kernelError, orthogonalErrorBound } from './error.js';
export { expansionFeatures } from './expansion.js';
export {
  type CommonFeatureOptions,
  type FamilyOptions,
  type FeatureFamily,
  featureFamily,
  projectionBuffer,
} from './family.js';
export { estimatedKernel, explicitFeatures, type FeatureMap, type Features } from './feature-map.js';
export type { GaussianOptions } from './gaussian.js';
export {
  defaultKernelEpsilon,
  type GeneralizedOptions,
  generalizedFeatures,
  type Nonlinearity,
  type NonlinearityName,
  nonlinearities,
  type UserNonlinearity,
} from './generalized.js';
export type { KernelError } from './kernel-error.js';
export { drawCauchy, laplacianFeatures } from './laplacian.js';
export { learnedFeatures } from './learned.js';
export { type MeasuredKernelError, measureKernelError } from './measure.js';
export {
  curvatureOf,
  type FeatureMoments,
  neutralShape,
  type RowMoments,
  rowMoments,
  shapeFromMoments,
} from './moments.js';
export {
  type FeatureMapParts,
  type FeatureShape,
  type LearnedFeatureParams,
  type ShapeMethod,
  shapeMethods,
} from './parts.js';
export { type PolynomialOptions, polynomialFeatures, taylorFeatureCount, taylorFeatures } from './polynomial.js';
export { exponentialMap, hyperbolicFeatures, type PositiveFeatureOptions, positiveFeatures } from './positive.js';
export {
  defaultFeatureCount,
  drawProjection,
  drawSigns,
  mostEntries,
  type ProjectionKind,
  type ProjectionOptions,
  projectionDigest,
  projectionKinds,
} from './projection.js';
export { type ProjectionLaw, projectionLaw } from './projection-law.js';
export {
  bufferParts,
  type CustomFeatureMaps,
  drawFeatureParts,
  type FeatureMapName,
  type FeatureMapOptions,
  featureCountOf,
  featureMap,
  featureMapChoice,
  featureMapNames,
  featureMapProblems,
  hasFixedCount,
  hasRandomRows,
  isFlatMap,
  isSequenceWideMap,
  isShaped,
  isSignedMap,
  learnedLayout,
  type Problem,
  projectionSize,
  registerFeatureMap,
} from './registry.js';
export type { RotationKind } from './rotations.js';
export { shapedFeatures } from './shaped.js';
export { trigonometricFeatures } from './trigonometric.js';

/** Feature maps, whose products estimate kernels, and the random projections that they need. */
export { cosformerFeatures } from './cosformer.js';
export { effectiveRank } from './effective-rank.js';
export {
  applyRows,
  curvatureTerms,
  type HeadShape,
  headShape,
  type KernelErrorOptions,
  kernelError,
  orthogonalErrorBound,
} from './error.js';
export { expansionFeatures } from './expansion.js';
export {
  drawFeatureParts,
  type FeatureMapName,
  type FeatureMapOptions,
  type FeatureMapParts,
  featureCountOf,
  featureMap,
  featureMapNames,
  featureMapProblems,
  featurePartsLayout,
  hasRandomRows,
  isFlatMap,
  isShaped,
  isSignedMap,
  projectionSize,
} from './family.js';
export { estimatedKernel, explicitFeatures, type FeatureMap, type Features } from './feature-map.js';
export { type FeatureShape, neutralShape, type ShapeMethod, shapeMethods } from './feature-shape.js';
export type { GaussianOptions } from './gaussian.js';
export {
  defaultKernelEpsilon,
  type GeneralizedOptions,
  generalizedFeatures,
  type NonlinearityName,
  nonlinearities,
  type UserNonlinearity,
} from './generalized.js';
export type { KernelError } from './kernel-error.js';
export { drawCauchy, laplacianFeatures } from './laplacian.js';
export { type LearnedFeatureParams, learnedFeatures } from './learned.js';
export { type MeasuredKernelError, measureKernelError } from './measure.js';
export {
  curvatureOf,
  type FeatureMoments,
  type RowMoments,
  rowMoments,
  shapeFromMoments,
} from './moments.js';
export { type PolynomialOptions, polynomialFeatures, taylorFeatureCount, taylorFeatures } from './polynomial.js';
export { exponentialMap, hyperbolicFeatures, type PositiveFeatureOptions, positiveFeatures } from './positive.js';
export {
  defaultFeatureCount,
  drawProjection,
  drawSigns,
  expectCounts,
  mostEntries,
  type ProjectionKind,
  type ProjectionOptions,
  projectionDigest,
  projectionKinds,
} from './projection.js';
export { type ProjectionLaw, projectionLaw } from './projection-law.js';
export { shapedFeatures } from './shaped.js';
export { trigonometricFeatures } from './trigonometric.js';

/** Exact kernels: the oracle of the feature maps, and their Taylor expansions. */
export { type ArcCosineOptions, arcCosineKernel } from './arc-cosine.js';
export { type DifferenceOptions, gaussianKernel, laplacianKernel } from './difference.js';
export { linearKernel, type PolynomialKernelOptions, polynomialKernel, softmaxKernel } from './dot-product.js';
export type { Kernel, ScaleOptions } from './kernel.js';
export { mostMonomials, type TaylorExpansion } from './taylor.js';
export type { Vector } from './vector.js';

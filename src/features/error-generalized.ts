/**
 * The error of maps of other kernels (see `error.ts`), for x and y that are scaled already, θ the angle between them, c = cos θ:
 *
 *   relu       ab with a = relu(ω·x), b = relu(ω·y), both + ε:
 *              E ab = |x||y|(sin θ + (π − θ)c)/2π,           E a²b² = |x|²|y|²(3 sin θ c + (π − θ)(1 + 2c²))/2π,
 *              E a²b = |x|²|y|(1 + c)²/(2√(2π)),             E a = |x|/√(2π),   E a² = |x|²/2
 *   step       the same of 1(ω·x > 0): E ab = E a²b = E a²b² = (π − θ)/2π, E a = ½
 *   Maclaurin  (z + offset)^p over signs ω_t: E g² = (|x|²|y|² + 2z² − 2Σxᵢ²yᵢ²)^p of the rows extended by √offset
 *   Taylor-2   no variance; bias 1 + z + z²/2 − e^z
 *
 * Rows of relu and step are taken for independent, whatever the kind of the projection.
 */
import { PerformerError } from '../base/errors.js';
import { defaultKernelEpsilon } from './generalized.js';
import { absoluteError, type KernelError } from './kernel-error.js';
import type { FeatureMapOptions } from './registry.js';

function dot(x: Float64Array, y: Float64Array): number {
  return x.reduce((total, value, i) => total + value * (y[i] as number), 0);
}

interface OrthantMoments {
  readonly a: number;
  readonly b: number;
  readonly aa: number;
  readonly bb: number;
  readonly ab: number;
  readonly aab: number;
  readonly abb: number;
  readonly aabb: number;
}

function orthantMoments(name: 'relu' | 'step', x: Float64Array, y: Float64Array): OrthantMoments {
  const [p, q] = [Math.sqrt(dot(x, x)), Math.sqrt(dot(y, y))];
  if (p === 0 || q === 0) {
    throw new PerformerError('CONFIG', `kernelError of ${name} features: expected vectors that are not zero, got one.`);
  }
  const cosine = Math.min(1, Math.max(-1, dot(x, y) / (p * q)));
  const theta = Math.acos(cosine);
  const left = Math.PI - theta;
  if (name === 'step') {
    const both = left / (2 * Math.PI);
    return { a: 0.5, b: 0.5, aa: 0.5, bb: 0.5, ab: both, aab: both, abb: both, aabb: both };
  }
  const root = Math.sqrt(2 * Math.PI);
  const third = (1 + cosine) ** 2 / (2 * root);
  return {
    a: p / root,
    b: q / root,
    aa: p ** 2 / 2,
    bb: q ** 2 / 2,
    ab: (p * q * (Math.sin(theta) + left * cosine)) / (2 * Math.PI),
    aab: p ** 2 * q * third,
    abb: p * q ** 2 * third,
    aabb: ((p * q) ** 2 * (3 * Math.sin(theta) * cosine + left * (1 + 2 * cosine ** 2))) / (2 * Math.PI),
  };
}

/** relu and step features: unbiased for their own kernel, of which ε is a part. */
export function generalizedError(
  name: 'relu' | 'step',
  { featureCount, kernelEpsilon: e = defaultKernelEpsilon, rowNorm }: FeatureMapOptions,
  x: Float64Array,
  y: Float64Array,
): KernelError {
  if (rowNorm !== 'chi') {
    throw new PerformerError('CONFIG', `kernelError of ${name} features: expected row norms of chi, got ${rowNorm}.`);
  }
  const { a, b, aa, bb, ab, aab, abb, aabb } = orthantMoments(name, x, y);
  const mean = ab + e * (a + b) + e ** 2; // E (a + ε)(b + ε)
  const second = aabb + 2 * e * (aab + abb) + e ** 2 * (aa + bb + 4 * ab) + 2 * e ** 3 * (a + b) + e ** 4;
  return absoluteError(mean, 0, Math.max(0, second - mean ** 2) / featureCount);
}

/** Random Maclaurin features of (x·y + offset)^degree. */
export function maclaurinError(
  { featureCount, degree = 2, offset = 1 }: FeatureMapOptions,
  x: Float64Array,
  y: Float64Array,
): KernelError {
  const z = dot(x, y) + offset;
  const squares = dot(
    x.map((value) => value ** 2),
    y.map((value) => value ** 2),
  );
  const norms = (dot(x, x) + offset) * (dot(y, y) + offset);
  const second = norms + 2 * z ** 2 - 2 * (squares + offset ** 2);
  return absoluteError(z ** degree, 0, Math.max(0, second ** degree - z ** (2 * degree)) / featureCount);
}

/** The second-order Taylor features of exp(x·y). */
export function taylorError(x: Float64Array, y: Float64Array): KernelError {
  const z = dot(x, y);
  return absoluteError(Math.exp(z), 1 + z + z ** 2 / 2 - Math.exp(z), 0);
}

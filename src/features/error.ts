/**
 * The error of one estimate φ(x)·φ(y) of a kernel K, in closed form: bias, variance and mean squared error.
 *
 * Of an estimate that is a mean of g(ω) over m rows, with E g = μ, E g² = s and E[g(ω)g(ω')] = r for two rows of one block
 * of the projection, a part f of all pairs (`projection-law.ts`),
 *
 *   bias = μ − K,   variance = (s − μ²)/m + f·(r − μ²).
 *
 * With x and y scaled by dim^(−1/4), z = x + y, Δ = x − y, and g relative to K = exp(x·y):
 *
 *   positive        g = e^{ω·z − |z|²/2}            iid: MSE = K²·(e^{|z|²} − 1)/m
 *   hyperbolic      g = cosh(ω·z) e^{−|z|²/2}       iid: MSE = K²·(cosh|z|² − 1)/m, m half the features
 *   trigonometric   g = cos(ω·Δ) e^{|Δ|²/2}         iid: MSE = K²·(cosh|Δ|² − 1)/m, m half the features
 *   exponential     as positive, of K = e^{|z|²/2}
 *   shaped          s = T_q q + T_k k: E g² = Π(1−4a_l)(1−8a_l)^{−½}·exp(Σ 2(1−4a_l)/(1−8a_l)·s_l² − |s|²)
 *
 * For one a in all directions (OPRF, ADERF) r is that of SM+; for others (SDERF) no closed form of r is known, and the
 * variance is given as that of independent rows, as it is for relu and step features. Orthogonality helps all of them.
 */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { generalizedError, maclaurinError, taylorError } from './error-generalized.js';
import type { KernelError } from './kernel-error.js';
import type { FeatureShape } from './parts.js';
import { expectCounts } from './projection.js';
import { type ProjectionLaw, projectionLaw } from './projection-law.js';
import { type FeatureMapOptions, isShaped } from './registry.js';

/** What the closed form of the error must know of a map beside its name. */
export interface KernelErrorOptions {
  /** Of shaped maps: the shape, and the head of it, 0 unless given. */
  readonly shape?: FeatureShape<HostTensor>;
  readonly head?: number;
  /** Of positive, hyperbolic and trigonometric maps: the Gaussian kernel exp(−γ|x − y|²). */
  readonly gamma?: number;
}

/** The moments of g, relative to those of its square, so that none overflows. */
interface EstimateMoments {
  readonly relativeBias: number;
  /** log s */
  readonly logSecond: number;
  /** μ²/s and r/s */
  readonly squaredMean: number;
  readonly pair: number;
}

function lengthOf(x: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += (x[i] as number) ** 2;
  return Math.sqrt(total);
}

/** s = |x + y| */
function positiveMoments(law: ProjectionLaw, s: number): EstimateMoments {
  const logMean = law.logMean(s) - s ** 2 / 2;
  const logSecond = law.logMean(2 * s) - s ** 2;
  return {
    relativeBias: Math.expm1(logMean),
    logSecond,
    squaredMean: Math.exp(2 * logMean - logSecond),
    pair: Math.exp(law.logPairMean(s, 1) - s ** 2 - logSecond),
  };
}

function hyperbolicMoments(law: ProjectionLaw, s: number): EstimateMoments {
  const logMean = law.logMean(s) - s ** 2 / 2;
  const logDouble = law.logMean(2 * s);
  const logSecond = logDouble + Math.log((1 + Math.exp(-logDouble)) / 2) - s ** 2; // ½(e^{2ωz} + 1)
  const pair = (sign: 1 | -1) => Math.exp(law.logPairMean(s, sign) - s ** 2 - logSecond) / 2;
  return {
    relativeBias: Math.expm1(logMean),
    logSecond,
    squaredMean: Math.exp(2 * logMean - logSecond),
    pair: pair(1) + pair(-1),
  };
}

/** s = |x − y| */
function trigonometricMoments(law: ProjectionLaw, s: number): EstimateMoments {
  const mean = law.cosine(s);
  const second = (1 + law.cosine(2 * s)) / 2;
  return {
    relativeBias: mean * Math.exp(s ** 2 / 2) - 1,
    logSecond: Math.log(second) + s ** 2,
    squaredMean: mean ** 2 / second,
    pair: (law.pairCosine(s, 1) + law.pairCosine(s, -1)) / (2 * second),
  };
}

/** One head of a shape, in plain numbers. */
export interface HeadShape {
  readonly query: readonly Float64Array[];
  readonly key: readonly Float64Array[];
  readonly curvature: Float64Array;
}

export function headShape({ query, key, curvature }: FeatureShape<HostTensor>, head: number): HeadShape {
  const dim = curvature.shape[1] as number;
  const rows = ({ data }: HostTensor) =>
    Array.from({ length: dim }, (_, row) => {
      const start = (head * dim + row) * dim;
      return Float64Array.from(data.subarray(start, start + dim));
    });
  return {
    query: rows(query),
    key: rows(key),
    curvature: Float64Array.from(curvature.data.subarray(head * dim, (head + 1) * dim)),
  };
}

export function applyRows(rows: readonly Float64Array[], x: Float64Array): Float64Array {
  return Float64Array.from(rows, (row) => row.reduce((total, value, i) => total + value * (x[i] as number), 0));
}

/** log Π(1−4a)(1−8a)^{−½}, and for each direction (1−4a)/(1−8a). */
export function curvatureTerms(curvature: Float64Array): { readonly offset: number; readonly widths: Float64Array } {
  let offset = 0;
  for (const a of curvature) offset += Math.log1p(-4 * a) - 0.5 * Math.log1p(-8 * a);
  return { offset, widths: curvature.map((a) => (1 - 4 * a) / (1 - 8 * a)) };
}

function shapedMoments(
  law: ProjectionLaw,
  { query, key, curvature }: HeadShape,
  x: Float64Array,
  y: Float64Array,
): EstimateMoments {
  const right = applyRows(key, y);
  const s = applyRows(query, x).map((value, i) => value + (right[i] as number));
  const { offset, widths } = curvatureTerms(curvature);
  const logSecond = s.reduce((total, value, i) => total + (2 * (widths[i] as number) - 1) * value ** 2, offset);
  const isUniform = curvature.every((a) => a === curvature[0]);
  const length = lengthOf(s);
  const squaredMean = Math.exp(-logSecond);
  const pair = isUniform ? Math.exp(law.logPairMean(length, 1) - length ** 2 - logSecond) : squaredMean;
  return { relativeBias: 0, logSecond, squaredMean, pair };
}

function fromMoments(
  { relativeBias, logSecond, squaredMean, pair }: EstimateMoments,
  logKernel: number,
  count: number,
  share: number,
): KernelError {
  const bracket = (1 - squaredMean) / count + share * (pair - squaredMean);
  const relativeVariance = bracket <= 0 ? 0 : Math.exp(logSecond + Math.log(bracket));
  const kernel = Math.exp(logKernel);
  const bias = relativeBias * kernel;
  const variance = bracket <= 0 ? 0 : Math.exp(logSecond + Math.log(bracket) + 2 * logKernel);
  return { kernel, bias, variance, relativeBias, relativeVariance, meanSquaredError: bias ** 2 + variance };
}

/**
 * The error of the estimate of K(x, y) by a map of these options, x and y as they go into the map, [headDim].
 *
 * @throws SHAPE for vectors of another dim, NUMERIC for NaN or infinity in them; CONFIG for maps without a closed form (measure those), for a missing shape, and for shaped maps with row norms of root.
 */
export function kernelError(
  options: FeatureMapOptions,
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  { shape, head = 0, gamma }: KernelErrorOptions = {},
): KernelError {
  const { name, headDim: dim, featureCount, projectionKind, rowNorm } = options;
  const refuse = (expected: string, got: string) =>
    new PerformerError('CONFIG', `kernelError of ${name} features: expected ${expected}, got ${got}.`);
  if (x.length !== dim || y.length !== dim) {
    throw new PerformerError('SHAPE', `kernelError: expected vectors of ${dim}, got ${x.length} and ${y.length}.`);
  }
  expectCounts('kernelError', { headDim: dim, featureCount });
  for (const vector of [x, y]) {
    if (!Array.from(vector).every(Number.isFinite)) {
      throw new PerformerError('NUMERIC', 'kernelError: expected finite vectors, got NaN or infinity.');
    }
  }
  const hasGamma = name === 'positive' || name === 'hyperbolic' || name === 'trigonometric';
  if (gamma !== undefined && !(hasGamma && gamma > 0)) throw refuse('gamma > 0 of a Gaussian map', String(gamma));
  if ((options.featureEpsilon ?? 0) > 0) throw refuse('features of one position each', 'a featureEpsilon');
  const scale = gamma === undefined ? dim ** -0.25 : Math.sqrt(2 * gamma);
  const left = Float64Array.from(x, (value) => value * scale);
  const right = Float64Array.from(y, (value) => value * scale);
  if (name === 'taylor') return taylorError(left, right);
  if (name === 'polynomial') return maclaurinError(options, left, right);
  if (projectionKind === 'none') throw refuse('a projection', 'none');
  if (name === 'relu' || name === 'step') return generalizedError(name, options, left, right);
  const law = projectionLaw(dim, { kind: projectionKind, rowNorm });
  const plus = lengthOf(left.map((value, i) => value + (right[i] as number)));
  const minus = lengthOf(left.map((value, i) => value - (right[i] as number)));
  const product = (plus ** 2 - minus ** 2) / 4;
  const logKernel = gamma === undefined ? product : -(minus ** 2) / 2;
  const half = featureCount / 2;
  if (name === 'positive' || name === 'exponential') {
    const log = name === 'positive' ? logKernel : plus ** 2 / 2;
    return fromMoments(positiveMoments(law, plus), log, featureCount, law.pairShare(featureCount));
  }
  if (name === 'hyperbolic') return fromMoments(hyperbolicMoments(law, plus), logKernel, half, law.pairShare(half));
  if (name === 'trigonometric') {
    return fromMoments(trigonometricMoments(law, minus), logKernel, half, law.pairShare(half));
  }
  if (!isShaped(name)) throw refuse('a map with a closed form', name);
  if (shape === undefined) throw refuse('a shape', 'none');
  if (rowNorm !== 'chi') throw refuse('row norms of chi', rowNorm);
  return fromMoments(
    shapedMoments(law, headShape(shape, head), left, right),
    product,
    featureCount,
    law.pairShare(featureCount),
  );
}

/**
 * The bound of the paper (theorem 2) on the mean squared error of positive features with orthogonal rows, at most dim of them:
 *
 *   MSE_iid − 2(m − 1)/(m(dim + 2))·(K − e^{−(|x|² + |y|²)/2})²
 *
 * `kernelError` gives the error itself. Throws CONFIG for more features than dim.
 */
export function orthogonalErrorBound(featureCount: number, x: ArrayLike<number>, y: ArrayLike<number>): number {
  const dim = x.length;
  if (featureCount > dim) {
    throw new PerformerError('CONFIG', `orthogonalErrorBound: expected at most ${dim} features, got ${featureCount}.`);
  }
  const options = { name: 'positive', headDim: dim, featureCount, projectionKind: 'iid', rowNorm: 'chi' } as const;
  const { kernel, meanSquaredError } = kernelError(options, x, y);
  const squares = (lengthOf(x) ** 2 + lengthOf(y) ** 2) / Math.sqrt(dim);
  const gain = (2 * (featureCount - 1)) / (featureCount * (dim + 2));
  return meanSquaredError - gain * (kernel - Math.exp(-squares / 2)) ** 2;
}

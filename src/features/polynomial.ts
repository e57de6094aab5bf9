/**
 * Features of dot-product kernels, for x scaled by dim^(−1/4), z = q·k/√dim:
 *
 *   Taylor-2      φ(x) = [1, x, xᵢxⱼ (i<j), xᵢ²/√2],  φ(q)·φ(k) = 1 + z + z²/2 > 0: exact, and exp(z) to third order (as in
 *                 Based, arXiv 2402.18668). Remainder: ≤ e^{max(0, z)}·|z|³/6.
 *   polynomial    φ(x) = Π_{t≤degree} (ω_t·[x, √offset]) / √features with rows ω_t of ±1 (random Maclaurin, Kar & Karnick
 *                 2012), E[φ(q)·φ(k)] = (z + offset)^degree. Signed.
 *
 * Features are added up as they are: Taylor features take rows up to a norm of 10⁷, polynomial ones up to 10^(14/degree);
 * beyond, sums leave float32 and outputs are NaN.
 */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { option } from '../base/options.js';
import {
  broadcastTo,
  concatenate,
  constant,
  matmul,
  multiply,
  scalar,
  slice,
  stopGradient,
  type Tensor,
} from '../graph/index.js';
import { featureFamily, need } from './family.js';
import type { FeatureMap } from './feature-map.js';
import { attentionScale, constantLogScale } from './gauge.js';
import { drawSigns } from './projection.js';

/** The largest dim of Taylor features, whose graph holds two matrices of dim rows and dim(dim + 1)/2 columns. */
export const largestTaylorDim = 256;

/** 1 + dim + dim(dim + 1)/2 */
export function taylorFeatureCount(dim: number): number {
  return 1 + dim + (dim * (dim + 1)) / 2;
}

/** The pairs i ≤ j. */
function pairsOf(dim: number): (readonly [number, number])[] {
  return Array.from({ length: dim }, (_, i) => Array.from({ length: dim - i }, (_, at) => [i, i + at] as const)).flat();
}

/** A matrix [dim, columns] that picks one entry of a row for each column. */
function picks(dim: number, entries: readonly (readonly [row: number, weight: number])[]): Tensor {
  const values = new Float64Array(dim * entries.length);
  entries.forEach(([row, weight], column) => {
    values[row * entries.length + column] = weight;
  });
  return constant('float32', [dim, entries.length], values);
}

/** The packed second-order Taylor features of exp(q·k/√dim). Throws CONFIG unless the dim is an integer from 1 to `largestTaylorDim`. */
export function taylorFeatures(dim: number): FeatureMap {
  if (!Number.isSafeInteger(dim) || dim < 1 || dim > largestTaylorDim) {
    throw new PerformerError(
      'CONFIG',
      `taylorFeatures: expected a dim from 1 to ${largestTaylorDim}, got ${dim}. Use random features.`,
    );
  }
  const pairs = pairsOf(dim);
  const left = picks(
    dim,
    pairs.map(([i, j]) => [i, i === j ? Math.SQRT1_2 : 1]),
  );
  const right = picks(
    dim,
    pairs.map(([, j]) => [j, 1]),
  );
  const features = (x: Tensor) => {
    const scale = attentionScale(x);
    const squares = multiply(matmul(x, left, { scale }), matmul(x, right, { scale })); // [..., dim(dim + 1)/2]
    const one = broadcastTo(scalar(1), [...x.shape.slice(0, -1), 1]);
    return { values: concatenate([one, multiply(x, scale), squares], -1) };
  };
  return { name: 'taylor', featureCount: taylorFeatureCount(dim), query: features, key: features };
}

/** The polynomial (q·k/√dim + offset)^degree that is estimated. */
export interface PolynomialOptions {
  /** 1 or more. */
  readonly degree: number;
  /** Added to q·k/√dim, 0 or more. */
  readonly offset: number;
}

/** Throws CONFIG unless the degree and the offset are valid. */
export function checkPolynomial(where: string, { degree, offset }: PolynomialOptions): void {
  if (!Number.isSafeInteger(degree) || degree < 1) {
    throw new PerformerError('CONFIG', `${where}: expected a degree of 1 or more, got ${degree}.`);
  }
  if (!(offset >= 0 && offset < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `${where}: expected an offset of 0 or more, got ${offset}.`);
  }
}

/** Random features of (q·k/√dim + offset)^degree over signs [degree·features, dim + 1] (`drawSigns`). */
export function polynomialFeatures(signs: Tensor, options: PolynomialOptions): FeatureMap {
  checkPolynomial('polynomialFeatures', options);
  const { degree, offset } = options;
  const rows = signs.staticDim(0);
  const count = rows / degree;
  if (!Number.isInteger(count)) {
    throw new PerformerError('SHAPE', `polynomialFeatures: expected ${degree} rows for each feature, got ${rows}.`);
  }
  const frozen = stopGradient(signs);
  const features = (x: Tensor) => {
    const edge = broadcastTo(scalar(Math.sqrt(offset)), [...x.shape.slice(0, -1), 1]);
    const extended = concatenate([multiply(x, attentionScale(x)), edge], -1); // [..., dim + 1]
    const u = matmul(extended, frozen, { transposeRight: true }); // [..., degree·features]
    const factors = Array.from({ length: degree }, (_, t) => slice(u, -1, t * count, (t + 1) * count));
    return { values: factors.reduce((a, b) => multiply(a, b)), logScale: constantLogScale(count ** -0.5) };
  };
  return { name: 'polynomial', featureCount: count, isSigned: true, query: features, key: features };
}

export const taylorFamily = featureFamily({
  name: 'taylor',
  text: 'exact features of 1 + z + z²/2, for heads of a small dim',
  own: {},
  fixedCount: taylorFeatureCount,
  largestDim: largestTaylorDim,
  isSigned: () => false,
  build: ({ headDim }) => taylorFeatures(headDim),
});

export const polynomialFamily = featureFamily({
  name: 'polynomial',
  text: '(z + offset)^degree by products of random signs',
  own: {
    degree: option(z.int().min(1).max(8).optional(), 'of polynomial features', {
      flag: 'polynomial-degree',
      fallback: '2',
    }),
    offset: option(z.number().min(0).max(1e6).optional(), 'of polynomial features: c in (q·k/√headDim + c)^degree', {
      flag: 'polynomial-offset',
      fallback: '1',
    }),
  },
  isSigned: () => true,
  buffers({ featureCount, headDim, degree = 2 }) {
    const size = [degree * featureCount, headDim + 1] as const;
    return { projection: { dtype: 'float32', shape: size, draw: (random) => drawSigns(random, ...size) } };
  },
  build: ({ degree = 2, offset = 1 }, { projection }) =>
    polynomialFeatures(need(projection, 'signs', 'polynomial'), { degree, offset }),
});

/**
 * Arc-cosine kernels (Cho & Saul 2009), θ the angle between x and y, c = cos θ:
 *
 *   degree 0   1 − θ/π                                              = 2·E[1(ωᵀx > 0)·1(ωᵀy > 0)]
 *   degree 1   scale·|x||y|·(sin θ + (π − θ) cos θ)/π               = 2·scale·E[relu(ωᵀx)·relu(ωᵀy)],  ω ~ N(0, I)
 *
 * so relu features estimate half of degree 1 and step features half of degree 0. As series in c all their coefficients are
 * 0 or above, and what is left after degree p is at most |c|^{p+1} times what is left at c = 1: it goes to 0 slowly, as
 * p^{−1/2} and p^{−3/2} at worst. A row of zeros has θ = π/2 with everything.
 */
import { PerformerError } from '../base/errors.js';
import {
  acos,
  add,
  divide,
  matmul,
  maximum,
  minimum,
  multiply,
  sqrt,
  square,
  subtract,
  type Tensor,
  withGradient,
} from '../graph/index.js';
import { asRow, expectPositive, type Kernel, positiveSquaredNorms, type ScaleOptions } from './kernel.js';
import { type Preparation, type Series, taylorExpansion } from './taylor.js';
import { dotProduct, type Vector } from './vector.js';

function norms(x: Tensor): Tensor {
  return sqrt(positiveSquaredNorms(x)); // [..., n, 1]
}

function normOf(x: Vector): number {
  return Math.sqrt(Math.max(dotProduct(x, x), 1e-30));
}

function cosineOf(x: Vector, y: Vector): number {
  return Math.min(1, Math.max(-1, dotProduct(x, y) / (normOf(x) * normOf(y))));
}

/** cos θ of all pairs of rows. */
function cosines(x: Tensor, y: Tensor): Tensor {
  const unit = (rows: Tensor) => divide(rows, norms(rows));
  return maximum(minimum(matmul(unit(x), unit(y), { transposeRight: true }), 1), -1);
}

/** sin θ + (π − θ) cos θ, whose derivative by cos θ is π − θ, also where that of θ is infinite. */
function firstDegree(cosine: Tensor): Tensor {
  const remaining = subtract(Math.PI, acos(cosine)); // π − θ
  const sine = sqrt(maximum(subtract(1, square(cosine)), 0));
  const value = add(sine, multiply(remaining, cosine));
  const [result] = withGradient([cosine], [value], ([g]) => [multiply(g!, remaining)]);
  return result!;
}

/** 1 − θ/π; its derivative grows without bound towards θ = 0 and is cut off there. */
function zerothDegree(cosine: Tensor): Tensor {
  const value = subtract(1, multiply(acos(cosine), 1 / Math.PI));
  const [result] = withGradient([cosine], [value], ([g]) => {
    const sine = sqrt(maximum(subtract(1, square(cosine)), 1e-6));
    return [divide(g!, multiply(sine, Math.PI))];
  });
  return result!;
}

/** C(2n, n)/4ⁿ */
function central(n: number): number {
  let result = 1;
  for (let i = 1; i <= n; i++) result *= (2 * i - 1) / (2 * i);
  return result;
}

/** aₖ of arcsin c = Σ central(n)/(2n + 1)·c^{2n+1}, and of √(1 − c²) + c·arcsin c. */
const coefficients = {
  0: (k: number) => (k === 0 ? 0.5 : k % 2 === 1 ? central((k - 1) / 2) / (k * Math.PI) : 0),
  1: (k: number) => {
    if (k === 1) return 0.5;
    if (k % 2 === 1) return 0;
    const n = k / 2;
    return (n === 0 ? 1 : central(n - 1) / (k - 1) - central(n) / (k - 1)) / Math.PI;
  },
} as const;

function seriesOf(degree: 0 | 1): Series {
  const coefficient = coefficients[degree];
  return {
    coefficient,
    remainder(c, order) {
      let left = 1; // both are 1 at c = 1
      for (let k = 0; k <= order; k++) left -= coefficient(k);
      return Math.max(left, 0) * Math.abs(c) ** (order + 1);
    },
  };
}

export interface ArcCosineOptions extends ScaleOptions {
  readonly degree: 0 | 1;
}

/** The arc-cosine kernel of degree 0 or 1. Throws CONFIG for another degree, or a scale that is not above 0. */
export function arcCosineKernel({ degree, scale }: ArcCosineOptions): Kernel {
  if (degree !== 0 && degree !== 1) {
    throw new PerformerError('CONFIG', `arcCosineKernel: expected degree 0 or 1, got ${degree}.`);
  }
  expectPositive('arcCosineKernel', 'scale', scale);
  if (degree === 0 && scale !== undefined) {
    throw new PerformerError('CONFIG', 'arcCosineKernel: expected no scale for degree 0, which has none.');
  }
  const scaleFor = (dim: number) => scale ?? dim ** -0.5;
  const preparation: Preparation = {
    host: (x) => {
      const length = normOf(x);
      return {
        vector: Array.from(x, (value) => value / length),
        factor: degree === 0 ? 1 : length * Math.sqrt(scaleFor(x.length)),
      };
    },
    graph: (x) => {
      const length = norms(x);
      const rows = divide(x, length);
      return degree === 0 ? { rows } : { rows, factor: multiply(length, Math.sqrt(scaleFor(x.staticDim(-1)))) };
    },
  };
  return {
    name: `arc-cosine ${degree}`,
    isSigned: true,
    evaluate(x, y) {
      const cosine = cosineOf(x, y);
      const theta = Math.acos(cosine);
      if (degree === 0) return 1 - theta / Math.PI;
      const angular = (Math.sin(theta) + (Math.PI - theta) * cosine) / Math.PI;
      return scaleFor(x.length) * normOf(x) * normOf(y) * angular;
    },
    matrix(x, y) {
      if (degree === 0) return zerothDegree(cosines(x, y));
      const lengths = multiply(multiply(norms(x), asRow(norms(y))), scaleFor(x.staticDim(-1)) / Math.PI);
      return multiply(lengths, firstDegree(cosines(x, y)));
    },
    diagonal(x) {
      const squares = multiply(positiveSquaredNorms(x), degree === 0 ? 0 : scaleFor(x.staticDim(-1)));
      return degree === 0 ? add(squares, 1) : squares;
    },
    taylor: (order) => taylorExpansion(order, seriesOf(degree), preparation),
  };
}

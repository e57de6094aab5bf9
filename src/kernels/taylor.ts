/**
 * Taylor expansions of kernels K(x, y) = c(x)·c(y)·f(t), t = u(x)·u(y), with f(t) = Σₖ aₖ tᵏ and every aₖ ≥ 0:
 *
 *   K_p(x, y) = c(x)·c(y)·Σ_{k≤p} aₖ tᵏ,    |K − K_p| ≤ c(x)·c(y)·R_p(t),
 *
 * and K_p is an exact product of features, the packed monomials of u: tᵏ = Σ over the multisets {i₁ ≤ … ≤ iₖ} of
 * (k!/Πnⱼ!)·Π u(x)ᵢ·Π u(y)ᵢ, nⱼ the multiplicities, so each monomial is weighted by √(aₖ·k!/Πnⱼ!). Of degree k there are
 * C(dim + k − 1, k): for small dims and degrees.
 */
import { PerformerError } from '../base/errors.js';
import { broadcastTo, concatenate, constant, multiply, scalar, slice, type Tensor } from '../graph/index.js';
import { dotProduct, type Vector } from './vector.js';

/** f(t): its coefficients, and a bound of what is left out. */
export interface Series {
  /** aₖ ≥ 0 */
  coefficient(k: number): number;
  /** R_p(t) ≥ |f(t) − Σ_{k≤p} aₖ tᵏ| */
  remainder(t: number, degree: number): number;
}

/** u(x) and c(x), on the host and in a graph. */
export interface Preparation {
  host(x: Vector): { readonly vector: Vector; readonly factor: number };
  /** [..., n, dim] → u [..., n, dim] and c [..., n, 1], which is 1 where absent. */
  graph(x: Tensor): { readonly rows: Tensor; readonly factor?: Tensor };
}

/** The Taylor polynomial of a kernel, with the features that compute it and a bound of what it leaves out. */
export interface TaylorExpansion {
  readonly degree: number;
  /** K_p(x, y) in float64. */
  evaluate(x: Vector, y: Vector): number;
  /** At least |K(x, y) − K_p(x, y)|. */
  remainderBound(x: Vector, y: Vector): number;
  /** C(dim + degree, degree), less the monomials whose coefficient is zero. */
  featureCount(dim: number): number;
  /** [..., n, dim] → φ [..., n, features] with φ(x)·φ(y) = K_p(x, y). Throws CONFIG for more than `mostMonomials`. */
  features(x: Tensor): Tensor;
}

/** Beyond this many features another map is the better choice. */
export const mostMonomials = 65_536;

/** C(n, k) */
function binomial(n: number, k: number): number {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return Math.round(result);
}

/** For the monomials of each degree up to `degree`, in the order of `monomials`: k!/Πnⱼ!. */
function multiplicities(dim: number, degree: number): number[][] {
  const levels: number[][] = [[1]];
  let indices: number[][] = [[]];
  for (let k = 1; k <= degree; k++) {
    const before = indices;
    indices = Array.from({ length: dim }, (_, i) =>
      before.filter(([first = dim]) => first >= i).map((rest) => [i, ...rest]),
    ).flat();
    levels.push(indices.map(orderings));
  }
  return levels;
}

/** In how many orders sorted indices can be written: k!/Πnⱼ!. */
function orderings(sorted: readonly number[]): number {
  let result = 1;
  let run = 0;
  sorted.forEach((index, at) => {
    run = at > 0 && sorted[at - 1] === index ? run + 1 : 1;
    result *= (at + 1) / run;
  });
  return result;
}

/** The packed monomials of degree k from those of degree k − 1, sorted by their indices: xᵢ times those that begin at i or later. */
function raise(x: Tensor, before: Tensor, k: number): Tensor {
  const dim = x.staticDim(-1);
  const count = before.staticDim(-1);
  const parts = Array.from({ length: dim }, (_, i) => {
    const later = binomial(dim - i + k - 2, k - 1);
    return multiply(slice(x, -1, i, i + 1), slice(before, -1, count - later, count));
  });
  return concatenate(parts, -1);
}

/** The expansion to a degree. Throws CONFIG unless it is an integer from 0. */
export function taylorExpansion(degree: number, series: Series, { host, graph }: Preparation): TaylorExpansion {
  if (!Number.isSafeInteger(degree) || degree < 0) {
    throw new PerformerError('CONFIG', `taylor: expected a degree of 0 or more, got ${degree}.`);
  }
  const coefficients = Array.from({ length: degree + 1 }, (_, k) => series.coefficient(k));
  const featureCount = (dim: number) =>
    coefficients.reduce((total, a, k) => total + (a > 0 ? binomial(dim + k - 1, k) : 0), 0);
  const prepared = (x: Vector, y: Vector) => {
    const [left, right] = [host(x), host(y)];
    return { t: dotProduct(left.vector, right.vector), factor: left.factor * right.factor };
  };
  return {
    degree,
    featureCount,
    evaluate(x, y) {
      const { t, factor } = prepared(x, y);
      return factor * coefficients.reduceRight((total, a) => total * t + a, 0);
    },
    remainderBound(x, y) {
      const { t, factor } = prepared(x, y);
      return factor * series.remainder(t, degree);
    },
    features(x) {
      const dim = x.staticDim(-1);
      if (featureCount(dim) > mostMonomials) {
        const count = featureCount(dim);
        throw new PerformerError(
          'CONFIG',
          `taylor: expected at most ${mostMonomials} monomials, got ${count} for degree ${degree} and dim ${dim}. Use random features.`,
        );
      }
      const { rows, factor } = graph(x);
      const weights = multiplicities(dim, degree);
      let power = broadcastTo(scalar(1), [...x.shape.slice(0, -1), 1]);
      const parts: Tensor[] = [];
      coefficients.forEach((a, k) => {
        if (k > 0) power = raise(rows, power, k);
        if (a === 0) return;
        const own = (weights[k] as number[]).map((count) => Math.sqrt(a * count));
        parts.push(multiply(power, constant('float32', [own.length], own)));
      });
      const joined = concatenate(parts, -1);
      return factor === undefined ? joined : multiply(joined, factor);
    },
  };
}

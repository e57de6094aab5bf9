/**
 * The law of the rows of a projection, as far as errors need it: for a vector of length s in a fixed direction e,
 *
 *   one row    E e^{s e·w},  E cos(s e·w)
 *   two rows of one block    E e^{s e·(w ± w')},  E cos(s e·(w ± w'))
 *
 * chi   w ~ N(0, I): e^{s²/2}. Two orthogonal rows: see `sphere.ts`. Two corners of a simplex meet at cos = −1/(dim − 1): then
 *       |w ± w'|² = S·(1 ∓ sin 2β/(dim − 1)), S ~ chi²(2·dim), with an independent angle β of density ∝ (sin β cos β)^{dim−1}.
 * root  |w| = √dim: the same with all lengths fixed, which biases every estimate.
 *
 * Structured and Givens rotations are uniform but for a small error, and taken for Haar-orthogonal ones.
 */
import type { ProjectionOptions } from './projection.js';
import { logOrthogonalPairMean, logSphereMean, orthogonalPairCosine, sphereCosine } from './sphere.js';

/** The law of one row w of a projection, as expectations over it for a unit vector e. */
export interface ProjectionLaw {
  /** log E e^{s e·w} */
  logMean(s: number): number;
  /** E cos(s e·w) */
  cosine(s: number): number;
  /** log E e^{s e·(w ± w')} */
  logPairMean(s: number, sign: 1 | -1): number;
  /** E cos(s e·(w ± w')) */
  pairCosine(s: number, sign: 1 | -1): number;
  /** Of all ordered pairs of different or equal rows, the part that are two different rows of one block. */
  pairShare(count: number): number;
}

/** Factors c of |w ± w'|² against that of orthogonal rows, with their weights. */
type Stretch = (sign: 1 | -1) => readonly (readonly [factor: number, weight: number])[];

const orthogonal: Stretch = () => [[1, 1]];

/** The corners of a simplex; `isChi`: with lengths of their own. */
function simplexStretch(dim: number, isChi: boolean): Stretch {
  if (dim < 2) return orthogonal;
  if (!isChi) return (sign) => [[1 - sign / (dim - 1), 1]];
  const points = 64;
  const angles = Array.from({ length: points }, (_, point) => (Math.PI * (point + 0.5)) / (2 * points));
  const weights = angles.map((angle) => Math.sin(2 * angle) ** (dim - 1));
  const total = weights.reduce((a, b) => a + b);
  return (sign) =>
    angles.map((angle, at) => [1 - (sign * Math.sin(2 * angle)) / (dim - 1), (weights[at] as number) / total]);
}

/** The law of the rows of `drawProjection(…, dim, { kind, rowNorm })`. */
export function projectionLaw(dim: number, { kind, rowNorm }: ProjectionOptions): ProjectionLaw {
  const isChi = rowNorm === 'chi';
  const root = Math.sqrt(dim);
  const logMean = (s: number) => (isChi ? (s * s) / 2 : logSphereMean(dim, root * s));
  const cosine = (s: number) => (isChi ? Math.exp((-s * s) / 2) : sphereCosine(dim, root * s));
  if (kind === 'iid') {
    return {
      logMean,
      cosine,
      logPairMean: (s) => 2 * logMean(s),
      pairCosine: (s) => cosine(s) ** 2,
      pairShare: () => 0,
    };
  }
  const stretch = kind === 'simplex' ? simplexStretch(dim, isChi) : orthogonal;
  const logPair = (s: number) => (isChi ? logOrthogonalPairMean(dim, s) : logSphereMean(dim, Math.SQRT2 * root * s));
  const pairOf = (s: number) => (isChi ? orthogonalPairCosine(dim, s) : sphereCosine(dim, Math.SQRT2 * root * s));
  return {
    logMean,
    cosine,
    logPairMean(s, sign) {
      const terms = stretch(sign).map(([factor, weight]) => [logPair(s * Math.sqrt(factor)), weight] as const);
      const top = Math.max(...terms.map(([log]) => log));
      return top + Math.log(terms.reduce((total, [log, weight]) => total + weight * Math.exp(log - top), 0));
    },
    pairCosine: (s, sign) =>
      stretch(sign).reduce((total, [factor, weight]) => total + weight * pairOf(s * Math.sqrt(factor)), 0),
    pairShare(count) {
      const [whole, rest] = [Math.floor(count / dim), count % dim];
      return (whole * dim * (dim - 1) + rest * (rest - 1)) / count ** 2;
    },
  };
}

/**
 * How the errors of keys go together, for one query: Σⱼₖ pⱼ pₖ E[εⱼεₖ] (vⱼ − o)·(vₖ − o) (see `error.ts`).
 *
 * Independent rows have closed forms. Two rows of one block have E[gg'] − 1 = f(|z|²) − 1, known for j = k
 * (`features/projection-law.ts`); for others f is taken as a function of the product zⱼ·zₖ, with a term that makes it right to
 * second order: (|zⱼ|²|zₖ|² − (zⱼ·zₖ)²)/(2(dim − 1)(dim + 2)).
 */
import type { HostTensor } from '../base/array.js';
import { applyRows, curvatureTerms, headShape } from '../features/error.js';
import type { FeatureMapName, FeatureMapOptions, FeatureShape, ProjectionLaw } from '../features/index.js';
import { dotOf } from './samples.js';

/** The maps whose attention error can be predicted. */
export const predictableMaps = [
  'positive',
  'hyperbolic',
  'trigonometric',
  'oprf',
  'sderf',
  'aderf',
  'taylor',
] as const satisfies readonly FeatureMapName[];
/** The maps whose error in attention is known in closed form. */
export type PredictableMap = (typeof predictableMaps)[number];

/** A map, and what the prediction of its error depends on. */
export interface PredictedMap extends Pick<FeatureMapOptions, 'projectionKind'> {
  readonly name: PredictableMap;
  /** Of shaped maps. */
  readonly shape?: FeatureShape<HostTensor>;
}

/** The vectors whose products give the correlations: √weight·s and s, and what belongs to one key alone. */
export interface Geometry {
  readonly query: Float64Array;
  readonly keys: readonly Float64Array[];
  /** Of each direction, 2·(1−4a)/(2(1−8a)); 1 for maps without a shape. */
  readonly widths: Float64Array;
  readonly offset: number;
  readonly sign: 1 | -1;
}

/** f(t) − 1 at steps of t, for t from 0. */
export class PairTable {
  readonly #values: Float64Array;
  readonly #across: number;
  static readonly step = 0.1;
  static readonly size = 300;

  constructor(name: PredictableMap, law: ProjectionLaw, dim: number) {
    this.#across = dim < 2 ? 0 : 1 / (2 * (dim - 1) * (dim + 2));
    this.#values = Float64Array.from({ length: PairTable.size }, (_, index) => {
      const t = index * PairTable.step;
      const s = Math.sqrt(t);
      if (name === 'trigonometric') return ((law.pairCosine(s, 1) + law.pairCosine(s, -1)) / 2) * Math.exp(t) - 1;
      const of = (sign: 1 | -1) => Math.exp(law.logPairMean(s, sign) - t);
      return (name === 'hyperbolic' ? (of(1) + of(-1)) / 2 : of(1)) - 1;
    });
  }

  /** E of two rows of one block for vectors with this product and these squared lengths, less 1. */
  at(product: number, lengths: number): number {
    // What the table does not know: exact to second order for vectors that are not parallel.
    return this.#parallel(product) + (lengths - product ** 2) * this.#across;
  }

  #parallel(product: number): number {
    const place = Math.min(Math.abs(product) / PairTable.step, PairTable.size - 1.001);
    const index = Math.floor(place);
    const [low, high] = [this.#values[index] as number, this.#values[index + 1] as number];
    return low + (high - low) * (place - index);
  }
}

export function geometryOf(
  { name, shape }: PredictedMap,
  head: number,
  query: Float64Array,
  keys: readonly Float64Array[],
): Geometry {
  if (shape === undefined) {
    const sign = name === 'trigonometric' ? -1 : 1;
    return { query, keys, widths: new Float64Array(query.length).fill(1), offset: 0, sign };
  }
  const { query: left, key: right, curvature } = headShape(shape, head);
  const { offset, widths } = curvatureTerms(curvature);
  return { query: applyRows(left, query), keys: keys.map((key) => applyRows(right, key)), widths, offset, sign: 1 };
}

/** The sums over independent rows, times their number, and over pairs of rows of a block, times their share of all pairs. */
export function correlatedError(
  name: PredictableMap,
  { query, keys, widths, offset, sign }: Geometry,
  logWeights: Float64Array,
  centered: (j: number, k: number) => number,
  table: PairTable | undefined,
  grams: { readonly wide: Float64Array; readonly plain: Float64Array; readonly stride: number },
): { readonly independent: number; readonly pairs: number } {
  const count = logWeights.length;
  const wideQuery = query.map((value, i) => value * (widths[i] as number));
  const [ownWide, ownPlain] = [dotOf(wideQuery, query), dotOf(query, query)];
  const crossWide = Float64Array.from({ length: count }, (_, j) => sign * dotOf(wideQuery, keys[j] as Float64Array));
  const crossPlain = Float64Array.from({ length: count }, (_, j) => sign * dotOf(query, keys[j] as Float64Array));
  const product = (gram: Float64Array, own: number, cross: Float64Array, j: number, k: number) =>
    own + (cross[j] as number) + (cross[k] as number) + (gram[j * grams.stride + k] as number);
  const { wide, plain } = grams;
  // ½|u|² − ½|s|² and the logarithm of the weight belong to one key.
  const single = logWeights.map((log, j) => {
    const excess = product(wide, ownWide, crossWide, j, j) - product(plain, ownPlain, crossPlain, j, j);
    return log + excess / 2;
  });
  const lengths = Float64Array.from({ length: count }, (_, j) => product(plain, ownPlain, crossPlain, j, j));
  let shift = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < count; j++) {
    shift = Math.max(shift, 2 * (single[j] as number) + product(wide, ownWide, crossWide, j, j));
  }
  const isEven = name === 'hyperbolic' || name === 'trigonometric';
  let [independent, pairs] = [0, 0];
  for (let j = 0; j < count; j++) {
    for (let k = 0; k <= j; k++) {
      const twice = j === k ? 1 : 2;
      const value = twice * centered(j, k);
      const front = (single[j] as number) + (single[k] as number) - shift;
      const t = product(wide, ownWide, crossWide, j, k);
      const grown = isEven ? (Math.exp(front + t) + Math.exp(front - t)) / 2 : Math.exp(front + t);
      independent += grown * value; // without the −1, which Σ p(v − o) = 0 cancels
      if (table !== undefined) {
        const both = Math.exp((logWeights[j] as number) + (logWeights[k] as number));
        const alike = product(plain, ownPlain, crossPlain, j, k);
        pairs += both * table.at(alike, (lengths[j] as number) * (lengths[k] as number)) * value;
      }
    }
  }
  // A row that one key has to itself has no error, whatever its estimate.
  return { independent: independent > 0 ? independent * Math.exp(shift + offset) : 0, pairs };
}

export function gramOf(keys: readonly Float64Array[], widths?: Float64Array): Float64Array {
  const count = keys.length;
  const gram = new Float64Array(count * count);
  keys.forEach((left, j) => {
    const wide = widths === undefined ? left : left.map((value, i) => value * (widths[i] as number));
    for (let k = 0; k <= j; k++) gram[j * count + k] = dotOf(wide, keys[k] as Float64Array);
  });
  for (let j = 0; j < count; j++)
    for (let k = j + 1; k < count; k++) gram[j * count + k] = gram[k * count + j] as number;
  return gram;
}

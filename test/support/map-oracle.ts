/**
 * Attention through any feature map by its definition, in plain float64 loops that share nothing with the graph.
 *
 *   w_ij = Σ_f φ_f(q_i) φ_f(k_j),   output_i = Σ_j w_ij v_j / D_i,   D_i = Σ_j w_ij over the keys j that i sees
 *
 * A feature is its sign and log|φ|, so that nothing overflows. For signed maps D_i is guarded: below 1/100 of
 * |φ(q_i)|·Σⱼ|φ(k_j)| it is taken to be that large, with its sign (`src/attention/guard.ts`).
 *
 * Beside the output stands what arithmetic of limited precision may do to it. A map says how far each of its features may
 * be off (`doubt`); with e_ij = Σ_f (doubt_f(q_i)|φ_f(k_j)| + |φ_f(q_i)| doubt_f(k_j)) the numerator is off by
 * Σ_j e_ij|v_j| at most, the denominator by Σ_j e_ij, and the output by Σ_j e_ij(|v_j| + |output_i|)/|D_i|.
 */
import type { AnyHostTensor, HostTensor } from '../../src/base/index.js';
import type { OracleInputs } from './attention-oracle.js';
import { vectorsOf } from './attention-oracle.js';

/** φ of one row. */
export interface FeatureRow {
  /** −1, 0 or 1 */
  readonly sign: Float64Array;
  /** log|φ| */
  readonly log: Float64Array;
  /** log of what a rounding of one unit may do to φ, in units of the precision. */
  readonly doubt: Float64Array;
  /** log of the factor e^{logScale} in front of the values that an engine computes; 0 for maps that have none. */
  readonly scale: number;
}

export interface RowPlace {
  readonly head: number;
  readonly position: number;
}

/** A map in plain loops. */
export interface OracleMap {
  readonly isSigned: boolean;
  query(x: Float64Array, place: RowPlace): FeatureRow;
  key(x: Float64Array, place: RowPlace): FeatureRow;
}

export interface Precision {
  /** The relative size of a rounding. */
  readonly unit: number;
  /** What is smaller becomes zero. */
  readonly smallest: number;
}

/**
 * One rounding is 2⁻²⁴. Two are counted for each term of a feature: the sum of a product over `dim` terms is off by one
 * (see `float32Tolerance`), and what follows it (exp, a softmax, a scale, a product with another feature) by less than
 * another.
 */
export const float32Precision: Precision = { unit: 2 ** -23, smallest: 2 ** -126 };
/** Some more of them, since nothing depends on its being narrow. */
export const float64Precision: Precision = { unit: 2 ** -50, smallest: 0 };

export interface MapOracleOptions {
  readonly isCausal: boolean;
  readonly map: OracleMap;
  readonly precision?: Precision;
  /** Σⱼ|φ(k_j)| of each batch item, head and query, where the guard is to take it for a constant. */
  readonly keyMass?: readonly number[];
}

export interface MapOracleResult {
  /** [batch, queries, heads, valueDim] */
  readonly output: HostTensor<'float64'>;
  /** What the precision may do to each element of the output. */
  readonly tolerance: Float64Array;
  /** Σⱼ|φ(k_j)| of each batch item, head and query. */
  readonly keyMass: readonly number[];
}

const denominatorFloor = 0.01;

/** |φ| of a row, each feature divided by e^scale. */
function lengthOf({ log }: FeatureRow, scale: number): number {
  return Math.sqrt(log.reduce((total, value) => total + Math.exp(2 * (value - scale)), 0));
}

/** A bound on the length of the error of a row, over e^scale. */
function doubtLength({ doubt, scale: own, log }: FeatureRow, scale: number, { unit, smallest }: Precision): number {
  const flushed = smallest * Math.exp(own - scale) * Math.sqrt(log.length);
  return unit * Math.sqrt(doubt.reduce((total, value) => total + Math.exp(2 * (value - scale)), 0)) + flushed;
}

interface Pair {
  /** w_ij, Σ_f |φ_f φ_f| and e_ij, over e^top. */
  readonly weight: number;
  readonly size: number;
  readonly doubt: number;
}

function topOf(query: FeatureRow, key: FeatureRow): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let f = 0; f < query.log.length; f++) top = Math.max(top, query.log[f]! + key.log[f]!);
  return top;
}

function pairOf(query: FeatureRow, key: FeatureRow, top: number, { unit, smallest }: Precision): Pair {
  let [weight, size, doubt] = [0, 0, 0];
  for (let f = 0; f < query.log.length; f++) {
    const term = Math.exp(query.log[f]! + key.log[f]! - top);
    weight += query.sign[f]! * key.sign[f]! * term;
    size += term;
    const rounded = Math.exp(query.doubt[f]! + key.log[f]! - top) + Math.exp(query.log[f]! + key.doubt[f]! - top);
    const flushed = Math.exp(query.scale + key.log[f]! - top) + Math.exp(query.log[f]! + key.scale - top);
    doubt += unit * rounded + smallest * flushed;
  }
  return { weight, size, doubt };
}

export function mapAttentionOracle(
  { query, key, value, keyMask, queryPosition, keyPosition }: OracleInputs & Positions,
  { isCausal, map, precision = float64Precision, keyMass: fixedMass }: MapOracleOptions,
): MapOracleResult {
  const [batch, queries, heads] = query.shape as [number, number, number, number];
  const keys = key.shape[1]!;
  const valueDim = value.shape[3]!;
  const out = new Float64Array(batch * queries * heads * valueDim);
  const tolerance = new Float64Array(out.length);
  const keyMass: number[] = [];
  const place = (given: AnyHostTensor | undefined, length: number, item: number, head: number, at: number) => ({
    head,
    position: given === undefined ? at : Number(given.data[item * length + at]),
  });
  for (let item = 0; item < batch; item++) {
    for (let head = 0; head < heads; head++) {
      const keyRows = vectorsOf(key, item, head).map((x, at) => map.key(x, place(keyPosition, keys, item, head, at)));
      const values = vectorsOf(value, item, head);
      vectorsOf(query, item, head).forEach((x, at) => {
        const queryRow = map.query(x, place(queryPosition, queries, item, head, at));
        const seen = keyRows.flatMap((row, position) =>
          (isCausal && position > at) || keyMask?.data[item * keys + position] === 0
            ? []
            : [{ row, value: values[position]! }],
        );
        const massAt = keyMass.length;
        keyMass.push(seen.reduce((total, { row }) => total + lengthOf(row, 0), 0));
        const start = ((item * queries + at) * heads + head) * valueDim;
        const top = seen.reduce((best, { row }) => Math.max(best, topOf(queryRow, row)), Number.NEGATIVE_INFINITY);
        if (top === Number.NEGATIVE_INFINITY) return; // no key is seen, or every feature is zero
        const pairs = seen.map(({ row }) => pairOf(queryRow, row, top, precision));
        // A sum of n terms is off by √n roundings: those over keys and those over features.
        const summed = Math.sqrt(seen.length) + Math.sqrt(queryRow.log.length);
        let [denominator, doubt] = [0, 0];
        for (const pair of pairs) {
          denominator += pair.weight;
          doubt += pair.doubt + precision.unit * summed * pair.size;
        }
        const own = denominator;
        if (map.isSigned) {
          // Features are divided by e^{top/2} each, so that the mass is at the scale of the weights.
          const half = top / 2;
          const length = lengthOf(queryRow, half);
          const total = (measure: (row: FeatureRow) => number) => seen.reduce((sum, { row }) => sum + measure(row), 0);
          const mass =
            fixedMass === undefined ? total((row) => lengthOf(row, half)) : fixedMass[massAt]! * Math.exp(-half);
          const floor = denominatorFloor * length * mass;
          if (Math.abs(own) < floor) {
            denominator = own < 0 ? -floor : floor;
            const massDoubt =
              length * total((row) => doubtLength(row, half, precision)) +
              doubtLength(queryRow, half, precision) * mass;
            doubt += denominatorFloor * massDoubt;
          }
        }
        for (let i = 0; i < valueDim; i++) {
          let [numerator, error] = [0, 0];
          pairs.forEach((pair, j) => {
            const component = seen[j]!.value[i]!;
            numerator += pair.weight * component;
            error += Math.abs(component) * (pair.doubt + precision.unit * summed * pair.size);
          });
          const result = numerator / denominator;
          out[start + i] = result;
          const isSignOpen = Math.abs(own) <= doubt;
          tolerance[start + i] =
            (error + doubt * Math.abs(result)) / Math.abs(denominator) + (isSignOpen ? 2 * Math.abs(result) : 0);
        }
      });
    }
  }
  return { output: { dtype: 'float64', shape: [batch, queries, heads, valueDim], data: out }, tolerance, keyMass };
}

interface Positions {
  readonly queryPosition?: AnyHostTensor;
  readonly keyPosition?: AnyHostTensor;
}

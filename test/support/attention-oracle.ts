/**
 * Attention by its definition, in plain float64 loops that share nothing with the graph: quadratic, and stable for any
 * input, since every sum of exponentials is a log-sum-exp.
 *
 *   through features:  weight_ij = Σ_f exp(a_f(q_i) + a_f(k_j)),  a(x) = Ωx·d^(−1/4) − |x|²/(2√d)
 *   exact:             weight_ij = exp(q_i·k_j/√d)
 *   with decays:       weight_ij is multiplied by exp(Σ_{j<t≤i} logDecay_t)
 *   in a window:       the exact weight where |i − j| < window, and beyond it the mean over the features, or none without them;
 *                      decays begin there, Σ_{j+window<t≤i}
 *   in blocks:         the exact weight where |⌊i/window⌋ − ⌊j/window⌋| < 2, and else the mean over the features
 *   output_i = Σ_j weight_ij v_j / Σ_j weight_ij over the keys j that i sees; zeros where it sees none.
 */
import type { AnyHostTensor, HostTensor } from '../../src/base/index.js';

export interface OracleInputs {
  /** [batch, queries, heads, dim] */
  readonly query: AnyHostTensor;
  /** [batch, keys, heads, dim] */
  readonly key: AnyHostTensor;
  /** [batch, keys, heads, valueDim] */
  readonly value: AnyHostTensor;
  /** [batch, keys] */
  readonly keyMask?: AnyHostTensor;
  /** [batch, keys, heads] */
  readonly logDecay?: AnyHostTensor;
}

export interface OracleOptions {
  readonly isCausal: boolean;
  /** Ω [features, dim]; exact softmax attention without one. */
  readonly projection?: AnyHostTensor;
  /** Keys that are fewer than so many places away have exact weights, and features those of all others. */
  readonly window?: number;
  /** The window is that of blocks. */
  readonly isInBlocks?: boolean;
  /** The queries whose outputs are wanted; all unless given. */
  readonly rows?: readonly number[];
}

/** The vectors of one batch item and head, one for each position: float64. */
export function vectorsOf({ shape, data }: AnyHostTensor, item: number, head: number): Float64Array[] {
  const [, length, heads, dim] = shape as [number, number, number, number];
  return Array.from({ length }, (_, at) => {
    const start = ((item * length + at) * heads + head) * dim;
    return new Float64Array((data as Float32Array).subarray(start, start + dim));
  });
}

export function dot(left: Float64Array, right: Float64Array): number {
  let total = 0;
  for (let i = 0; i < left.length; i++) total += left[i]! * right[i]!;
  return total;
}

/** log Σᵢ exp(leftᵢ + rightᵢ) */
export function logSumOfProducts(left: Float64Array, right: Float64Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < left.length; i++) {
    const sum = left[i]! + right[i]!;
    if (sum > top) top = sum;
  }
  let total = 0;
  for (let i = 0; i < left.length; i++) total += Math.exp(left[i]! + right[i]! - top);
  return top + Math.log(total);
}

/** The log-features a(x) under each row of the projection. */
export function logFeatures(x: Float64Array, projection: readonly Float64Array[]): Float64Array {
  const scale = x.length ** -0.25;
  const halfNorm = dot(x, x) / (2 * Math.sqrt(x.length));
  const features = new Float64Array(projection.length);
  for (let f = 0; f < features.length; f++) features[f] = dot(projection[f]!, x) * scale - halfNorm;
  return features;
}

/** The rows of a projection [features, dim]. */
export function rowsOf({ shape, data }: AnyHostTensor): Float64Array[] {
  const [count, dim] = shape as [number, number];
  const whole = Float64Array.from(data as Float32Array);
  return Array.from({ length: count }, (_, row) => whole.subarray(row * dim, (row + 1) * dim));
}

/** The outputs [batch, rows, heads, valueDim] in float64. */
export function attentionOracle(
  { query, key, value, keyMask, logDecay }: OracleInputs,
  { isCausal, projection, window, isInBlocks = false, rows }: OracleOptions,
): HostTensor<'float64'> {
  const [batch, queries, heads, dim] = query.shape as [number, number, number, number];
  const keyCount = key.shape[1]!;
  const valueDim = value.shape[3]!;
  const wanted = rows ?? Array.from({ length: queries }, (_, row) => row);
  const out = new Float64Array(batch * wanted.length * heads * valueDim);
  const frequencies = projection === undefined ? undefined : rowsOf(projection);
  const scaled = (x: Float64Array) => x.map((component) => component * dim ** -0.25);
  const encode = (x: Float64Array) => (frequencies === undefined ? scaled(x) : logFeatures(x, frequencies));
  const logWeight = frequencies === undefined ? dot : logSumOfProducts;
  const blockOf = (position: number) => Math.floor(position / (window ?? 1));
  const isNearTo = (row: number, position: number) =>
    isInBlocks ? Math.abs(blockOf(row) - blockOf(position)) < 2 : Math.abs(row - position) < (window ?? 0);
  for (let item = 0; item < batch; item++) {
    for (let head = 0; head < heads; head++) {
      const keyVectors = vectorsOf(key, item, head);
      const encodedKeys = keyVectors.map(encode);
      const beyond = frequencies === undefined ? Number.NEGATIVE_INFINITY : -Math.log(frequencies.length);
      const values = vectorsOf(value, item, head);
      const queryVectors = vectorsOf(query, item, head);
      let soFar = 0;
      const decays = encodedKeys.map((_, position) => {
        const at = item * keyCount + position;
        if (keyMask?.data[at] !== 0) soFar += Number(logDecay?.data[at * heads + head] ?? 0);
        return soFar;
      });
      wanted.forEach((row, at) => {
        const encodedQuery = encode(queryVectors[row]!);
        const logWeights = encodedKeys.map((encoded, position) => {
          const isVisible = !(isCausal && position > row) && keyMask?.data[item * keyCount + position] !== 0;
          if (!isVisible) return Number.NEGATIVE_INFINITY;
          const isNear = window !== undefined && isNearTo(row, position);
          if (isNear) return dot(queryVectors[row]!, keyVectors[position]!) * dim ** -0.5;
          const decay = logDecay === undefined ? 0 : decays[row]! - decays[position + (window ?? 0)]!;
          return logWeight(encodedQuery, encoded) + decay + (window === undefined ? 0 : beyond);
        });
        const top = logWeights.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
        if (top === Number.NEGATIVE_INFINITY) return;
        const start = ((item * wanted.length + at) * heads + head) * valueDim;
        let denominator = 0;
        for (let position = 0; position < keyCount; position++) {
          const weight = Math.exp(logWeights[position]! - top);
          denominator += weight;
          for (let i = 0; i < valueDim; i++) out[start + i]! += weight * values[position]![i]!;
        }
        for (let i = 0; i < valueDim; i++) out[start + i]! /= denominator;
      });
    }
  }
  return { dtype: 'float64', shape: [batch, wanted.length, heads, valueDim], data: out };
}

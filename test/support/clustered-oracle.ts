/** Clustered attention by its definition, in plain float64 loops that share nothing with the graph. */
import type { AnyHostTensor, HostTensor } from '../../src/base/index.js';
import { dot, type OracleInputs, rowsOf, vectorsOf } from './attention-oracle.js';

export interface ClusteredOracleOptions {
  readonly clusters: number;
  readonly iterations: number;
  readonly topK: number;
  /** [bits, dim] */
  readonly planes: AnyHostTensor;
}

/** The cluster of each of the vectors, by Lloyd's iterations over those that are real. */
export function clustersByHand(
  vectors: readonly Float64Array[],
  isReal: readonly boolean[],
  { clusters, iterations, planes }: ClusteredOracleOptions,
): number[] {
  const normals = rowsOf(planes);
  const hashes = vectors.map((vector, at) =>
    normals.map((normal) => (isReal[at] ? Math.sign(dot(normal, vector)) : 0)),
  );
  const real = hashes.filter((_, at) => isReal[at]);
  let centers = Array.from({ length: clusters }, (_, cluster) => {
    const at = Math.floor(((cluster + 0.5) / clusters) * real.length);
    return real[at] ?? normals.map(() => 0);
  });
  /** Bits that differ; half of one that is undecided. */
  const distance = (hash: readonly number[], center: readonly number[]) =>
    hash.reduce((total, bit, at) => total + Math.abs(bit - center[at]!) / 2, 0);
  const nearest = (hash: readonly number[]) => {
    const distances = centers.map((center) => distance(hash, center));
    return distances.indexOf(Math.min(...distances));
  };
  for (let turn = 0; turn < iterations; turn++) {
    const totals = centers.map((center) => center.map(() => 0));
    for (const hash of real) {
      const own = totals[nearest(hash)]!;
      hash.forEach((bit, at) => {
        own[at]! += bit;
      });
    }
    centers = totals.map((total) => total.map(Math.sign));
  }
  return hashes.map(nearest);
}

function softmax(logs: readonly number[]): number[] {
  const top = Math.max(...logs);
  const weights = logs.map((log) => (top === Number.NEGATIVE_INFINITY ? 0 : Math.exp(log - top)));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => (total === 0 ? 0 : weight / total));
}

/** The outputs [batch, queries, heads, valueDim] of the real queries, and zeros for the others. */
export function clusteredOracle(
  { query, key, value, keyMask }: OracleInputs,
  options: ClusteredOracleOptions,
): HostTensor<'float64'> {
  const [batch, queries, heads, dim] = query.shape as [number, number, number, number];
  const [, keyCount, keyHeads, valueDim] = value.shape as [number, number, number, number];
  const out = new Float64Array(batch * queries * heads * valueDim);
  for (let item = 0; item < batch; item++) {
    const isSeen = (at: number) => keyMask?.data[item * keyCount + at] !== 0;
    for (let head = 0; head < heads; head++) {
      const vectors = vectorsOf(query, item, head);
      const keyHead = Math.floor((head * keyHeads) / heads);
      const [keys, values] = [vectorsOf(key, item, keyHead), vectorsOf(value, item, keyHead)];
      const isReal = vectors.map((_, at) => queries !== keyCount || isSeen(at));
      const clusters = clustersByHand(vectors, isReal, options);
      const scoresOf = (row: Float64Array) =>
        keys.map((own, at) => (isSeen(at) ? dot(row, own) / Math.sqrt(dim) : Number.NEGATIVE_INFINITY));
      for (const [at, vector] of vectors.entries()) {
        if (!isReal[at]) continue;
        const members = vectors.filter((_, other) => isReal[other] && clusters[other] === clusters[at]);
        const mean = vector.map((_, i) => members.reduce((total, member) => total + member[i]!, 0) / members.length);
        const weights = softmax(scoresOf(mean));
        const order = weights.map((_, index) => index).sort((a, b) => weights[b]! - weights[a]! || a - b);
        const top = new Set(order.slice(0, options.topK));
        const mass = weights.reduce((total, weight, index) => total + (top.has(index) ? weight : 0), 0);
        const own = softmax(
          scoresOf(vector).map((score, index) => (top.has(index) ? score : Number.NEGATIVE_INFINITY)),
        );
        const start = ((item * queries + at) * heads + head) * valueDim;
        values.forEach((row, index) => {
          const weight = top.has(index) ? mass * own[index]! : weights[index]!;
          for (let i = 0; i < valueDim; i++) out[start + i]! += weight * row[i]!;
        });
      }
    }
  }
  return { dtype: 'float64', shape: [batch, queries, heads, valueDim], data: out };
}

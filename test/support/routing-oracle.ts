/**
 * Attention that routes by clusters by its definition, in plain float64 loops over all pairs:
 *
 *   a key is in the cluster with the largest k·μ, and a query asks that with the largest q·μ;
 *   near are the own key and, of the asked cluster in order, those from `window` − 1 before to `window` − 1 behind the latest key
 *   that is not after the query, or to that one where attention is causal; near keys have exact weights, and all others the mean
 *   over the features, or none without them.
 */
import type { AnyHostTensor, HostTensor } from '../../src/base/index.js';
import { dot, logFeatures, logSumOfProducts, type OracleInputs, rowsOf, vectorsOf } from './attention-oracle.js';

export interface RoutingOracleOptions {
  readonly isCausal: boolean;
  readonly window: number;
  /** [keyHeads, clusters, dim] */
  readonly centroids: AnyHostTensor;
  /** Ω [features, dim] */
  readonly projection?: AnyHostTensor;
}

function nearest(x: Float64Array, centroids: readonly Float64Array[]): number {
  const scores = centroids.map((centroid) => dot(x, centroid));
  return scores.indexOf(Math.max(...scores));
}

/** The positions of the keys that a query sees exactly. */
function nearKeys(
  row: number,
  asked: number,
  clusters: readonly (number | undefined)[],
  { window, isCausal }: RoutingOracleOptions,
): Set<number> {
  const members = clusters.flatMap((cluster, position) => (cluster === asked ? [position] : []));
  const last = members.filter((position) => position <= row).length - 1;
  const seen = members.filter((_, rank) => rank > last - window && rank < (isCausal ? last + 1 : last + window));
  return new Set(clusters[row] === undefined ? seen : [...seen, row]);
}

/** The outputs [batch, length, heads, valueDim]; key heads may be fewer than heads. */
export function routingOracle(
  { query, key, value, keyMask }: OracleInputs,
  options: RoutingOracleOptions,
): HostTensor<'float64'> {
  const { isCausal, projection, centroids } = options;
  const [batch, length, heads, dim] = query.shape as [number, number, number, number];
  const [, , keyHeads, valueDim] = value.shape as [number, number, number, number];
  const out = new Float64Array(batch * length * heads * valueDim);
  const all = rowsOf({ ...centroids, shape: [keyHeads * centroids.shape[1]!, dim] });
  const frequencies = projection && rowsOf(projection);
  for (let item = 0; item < batch; item++) {
    for (let head = 0; head < heads; head++) {
      const keyHead = Math.floor((head * keyHeads) / heads);
      const own = all.slice(keyHead * centroids.shape[1]!, (keyHead + 1) * centroids.shape[1]!);
      const [queries, keys, values] = [
        vectorsOf(query, item, head),
        vectorsOf(key, item, keyHead),
        vectorsOf(value, item, keyHead),
      ];
      const isShown = (position: number) => keyMask?.data[item * length + position] !== 0;
      const clusters = keys.map((x, position) => (isShown(position) ? nearest(x, own) : undefined));
      const encoded = frequencies && keys.map((x) => logFeatures(x, frequencies));
      queries.forEach((x, row) => {
        const near = nearKeys(row, nearest(x, own), clusters, options);
        const ofQuery = frequencies && logFeatures(x, frequencies);
        const logWeights = keys.map((k, position) => {
          if (near.has(position)) return dot(x, k) * dim ** -0.5;
          if (!isShown(position) || (isCausal && position > row) || !encoded) return Number.NEGATIVE_INFINITY;
          return logSumOfProducts(ofQuery!, encoded[position]!) - Math.log(ofQuery!.length);
        });
        const top = Math.max(...logWeights);
        if (top === Number.NEGATIVE_INFINITY) return;
        const start = ((item * length + row) * heads + head) * valueDim;
        const weights = logWeights.map((a) => Math.exp(a - top));
        const total = weights.reduce((a, b) => a + b, 0);
        weights.forEach((weight, position) => {
          for (let i = 0; i < valueDim; i++) out[start + i]! += (weight / total) * values[position]![i]!;
        });
      });
    }
  }
  return { dtype: 'float64', shape: [batch, length, heads, valueDim], data: out };
}

/**
 * Clusters of queries, by k-means on hashes (Vyas et al. 2020, section 3.2): the bits of a query are the sides of random planes
 * on which it lies, and the center of a cluster has the bits of most of its queries.
 *
 *   h = sign(P q);   cluster(q) = argmin_c Hamming(h, c) = argmax_c h·c;   c ← sign Σ_{q of c} h
 *
 * Bits are ±1, and 0 where as many queries have one as the other. A center without queries is 0 everywhere, as far from every
 * query as one that shares half of its bits. Of centers that are equally near the first is taken.
 */
import type { Dim } from '../base/dimension.js';
import {
  add,
  broadcastTo,
  cast,
  cumulativeSum,
  divide,
  hardmax,
  lessOrEqual,
  matmul,
  minimum,
  multiply,
  range,
  reshape,
  sign,
  size,
  stopGradient,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { swapHeads } from './layout.js';
import { takeOfEach } from './take.js';

/** How queries are clustered. */
export interface ClusterOptions {
  /** Clusters of each head. */
  readonly clusters: number;
  /** How often centers are moved. */
  readonly iterations: number;
  /** Normals of the random planes, [bits, dim]. */
  readonly planes: Tensor;
}

/**
 * Which cluster each query [batch, queries, heads, dim] is of: [batch, heads, queries, clusters], 1 for its own. Queries that are
 * not real are zeros, which move no center.
 */
export function clustersOf(
  query: Tensor,
  { clusters, iterations, planes }: ClusterOptions,
  isReal: Tensor<'bool'> | undefined,
): Tensor {
  const hashes = sign(swapHeads(matmul(stopGradient(query), planes, { transposeRight: true })));
  const nearest = (centers: Tensor) => hardmax(matmul(hashes, centers, { transposeRight: true }));
  let centers = takeOfEach(hashes, firstOf(query, clusters, isReal));
  for (let turn = 0; turn < iterations; turn++) {
    centers = sign(matmul(nearest(centers), hashes, { transposeLeft: true }));
  }
  return stopGradient(nearest(centers));
}

/** Places of the queries whose hashes are the first centers, evenly spaced among the real ones: [batch, heads, clusters]. */
function firstOf(query: Tensor, clusters: number, isReal: Tensor<'bool'> | undefined): Tensor<'int32'> {
  const [batch, length, heads] = query.shape as [Dim, Dim, Dim];
  const odd = add(multiply(range(clusters), 2), 1);
  const among = (count: Tensor<'int32'>) => divide(multiply(odd, count), 2 * clusters);
  const everywhere = (places: Tensor<'int32'>) => broadcastTo(places, [batch, heads, clusters]);
  if (isReal === undefined) return everywhere(among(size(length, 'int32')));
  const numbers = cumulativeSum(cast(isReal, 'float32'), 1); // [batch, length]: real queries up to here
  const wanted = among(sum(cast(isReal, 'int32'), 1, true)); // [batch, clusters]
  const before = lessOrEqual(
    reshape(numbers, [batch, 1, length]),
    cast(reshape(wanted, [batch, clusters, 1]), 'float32'),
  );
  const places = sum(cast(before, 'int32'), -1);
  return everywhere(reshape(minimum(places, subtract(size(length, 'int32'), 1)), [batch, 1, clusters]));
}

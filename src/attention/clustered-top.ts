/** The keys of a cluster that each of its queries sees exactly (improved clustered attention, clustered.ts). */
import type { Dim } from '../base/dimension.js';
import { elementCount } from '../base/shape.js';
import {
  add,
  broadcastTo,
  cast,
  less,
  matmul,
  multiply,
  reshape,
  subtract,
  sum,
  type Tensor,
  topIndices,
} from '../graph/index.js';
import { queryBlocks } from './query-blocks.js';
import { repeatedRows } from './repeated-rows.js';
import { takeOfEach, takeOfFew } from './take.js';
import { visibleSoftmax } from './visible.js';

/** What clusters got, and of what. */
export interface ClusterResults {
  /** [batch, heads, queries, dim] */
  readonly query: Tensor;
  /** [batch, keyHeads, keys, dim] */
  readonly key: Tensor;
  /** [batch, keyHeads, keys, valueDim] */
  readonly value: Tensor;
  /** [batch, keys], absent where all keys are seen. */
  readonly keyMask: Tensor<'bool'> | undefined;
  /** 1 for the cluster of a query, [batch, heads, queries, clusters]. */
  readonly assigned: Tensor;
  /** What each cluster gives to each key, [batch, keyHeads, group·clusters, keys]. */
  readonly weights: Tensor;
  /** [batch, heads, clusters, valueDim] */
  readonly results: Tensor;
}

/** What each query gets, [batch, heads, queries, valueDim], where it weighs `count` keys of its cluster by itself. */
export function attendToTop(given: ClusterResults, count: number): Tensor {
  const { query, key, value, keyMask, assigned, weights, results } = given;
  const [batch, heads, clusters] = results.shape as [Dim, Dim, Dim];
  const top = topIndices(weights, count); // [batch, keyHeads, group·clusters, count]
  const topWeights = takeOfEach(reshape(weights, [...weights.shape, 1]), top);
  const { toBlocks, fromBlocks, clusters: ofBlock, count: blocks } = queryBlocks(assigned);
  /** What each cluster has, for each block: [batch, heads, blocks, rows, dim]. */
  const forBlocks = (x: Tensor, rows: number, dim: Dim) => {
    const flat = reshape(x, [batch, heads, clusters, elementCount([rows, dim])]);
    return reshape(takeOfFew(flat, ofBlock), [batch, heads, blocks, rows, dim]);
  };
  const indices = reshape(top, [batch, key.dim(1), elementCount(top.shape.slice(2))]);
  const take = repeatedRows(indices, key.dim(2), indices.staticDim(-1) / count); // a cluster names no key twice
  const ofKeys = (x: Tensor) => forBlocks(take(x), count, x.dim(-1));
  const seen = keyMask && reshape(cast(keyMask, 'float32'), [batch, 1, keyMask.dim(1), 1]);
  const isSeen = seen && less(0, ofKeys(broadcastTo(seen, [...key.shape.slice(0, -1), 1])));
  const visible = isSeen && reshape(isSeen, [batch, heads, blocks, 1, count]);
  const scores = matmul(toBlocks(query), ofKeys(key), { transposeRight: true, scale: query.staticDim(-1) ** -0.5 });
  const own = visibleSoftmax(scores, visible); // [batch, heads, blocks, rows, count]
  const cluster = forBlocks(topWeights, 1, count);
  const moved = matmul(subtract(multiply(own, sum(cluster, -1, true)), cluster), ofKeys(value));
  return fromBlocks(add(moved, forBlocks(results, 1, results.dim(-1))));
}

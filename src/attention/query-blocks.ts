/**
 * Queries in blocks of one cluster each, so that what belongs to a cluster is read once for a block. There are as many blocks as
 * there may have to be, ⌈queries/rows⌉ + clusters; those that are left are empty, and so are the last rows of a cluster's last.
 */
import { addDims, ceilDivide, type Dim, multiplyDims } from '../base/dimension.js';
import {
  add,
  addRows,
  cast,
  cumulativeSum,
  divide,
  floor,
  less,
  lessOrEqual,
  maximum,
  minimum,
  multiply,
  range,
  reshape,
  scalar,
  subtract,
  sum,
  type Tensor,
  takeRows,
  where,
  withGradient,
} from '../graph/index.js';
import { flatIndices } from './take.js';

/** Queries of a block: larger blocks have more empty rows, and more of smaller ones read the same. */
const blockRows = 16;

/** How queries are laid out in blocks. */
export interface QueryBlocks {
  readonly count: Dim;
  /** The cluster of each block, [batch, heads, blocks]. */
  readonly clusters: Tensor<'int32'>;
  /** [batch, heads, queries, dim] → [batch, heads, blocks, rows, dim]; what empty rows hold means nothing. */
  toBlocks(x: Tensor): Tensor;
  /** Back again. */
  fromBlocks(x: Tensor): Tensor;
}

/** The blocks of queries of which each is 1 in its own of the clusters: [batch, heads, queries, clusters]. */
export function queryBlocks(assigned: Tensor): QueryBlocks {
  const [batch, heads, queries] = assigned.shape as [Dim, Dim, Dim];
  const clusters = assigned.staticDim(-1);
  const count = addDims(ceilDivide(queries, blockRows), clusters);
  const rows = multiplyDims(count, blockRows);
  const own = floor(divide(add(sum(assigned, 2, true), blockRows - 1), blockRows)); // blocks of each cluster
  const ends = cumulativeSum(own, -1); // [batch, heads, 1, clusters]
  const isBehind = lessOrEqual(ends, reshape(cast(range(count), 'float32'), [count, 1]));
  // A query's place is the first row of its cluster and as many on as there are queries of the cluster before it.
  const before = add(cumulativeSum(assigned, 2, { exclusive: true }), multiply(subtract(ends, own), blockRows));
  const places = flatIndices(cast(sum(multiply(assigned, before), -1), 'int32'), rows); // [batch, heads, queries]
  const tokens = multiplyDims(multiplyDims(batch, heads), queries);
  const numbers = reshape(add(cast(range(tokens), 'float32'), 1), [tokens, 1]);
  const owners = addRows(reshape(places, [tokens]), numbers, multiplyDims(multiplyDims(batch, heads), rows));
  const isOwned = less(0, owners); // [batch·heads·rows, 1]
  const owner = reshape(maximum(subtract(cast(owners, 'int32'), 1), 0), [owners.dim(0)]);
  const spread = (x: Tensor) => takeRows(reshape(x, [tokens, x.dim(-1)]), owner);
  const collect = (x: Tensor) => takeRows(reshape(x, [owners.dim(0), x.dim(-1)]), places);
  const inBlocks = (x: Tensor) => reshape(x, [batch, heads, count, blockRows, x.dim(-1)]);
  return {
    count,
    clusters: reshape(minimum(sum(cast(isBehind, 'int32'), -1), clusters - 1), [batch, heads, count]),
    toBlocks: (x) => withGradient([x], [inBlocks(spread(x))], ([g]) => [collect(g!)])[0],
    fromBlocks: (x) => withGradient([x], [collect(x)], ([g]) => [inBlocks(where(isOwned, spread(g!), scalar(0)))])[0],
  };
}

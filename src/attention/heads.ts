/**
 * Query heads that share a key head (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245; multi-query where there
 * is one key head): with `group` query heads for each key head, head h of the queries sees key head ⌊h/group⌋.
 *
 * To the sums over keys a group is nothing but more rows of queries: features are computed for every query head, and then
 * [batch, heads, rows, ·] is read as [batch, keyHeads, group·rows, ·], which moves nothing.
 */
import type { Dtype } from '../base/array.js';
import { type Dim, multiplyDims, sameDim } from '../base/dimension.js';
import { broadcastTo, reshape, type Tensor } from '../graph/index.js';

/** Query heads for each key head: the heads of queries and of keys are axis 2. */
export function groupOf(query: Tensor, key: Tensor): number {
  return sameDim(query.dim(2), key.dim(2)) ? 1 : query.staticDim(2) / key.staticDim(2);
}

/** [batch, heads, rows, ·] → [batch, keyHeads, group·rows, ·] */
export function gatherHeads<D extends Dtype>(x: Tensor<D>, group: number): Tensor<D> {
  if (group === 1) return x;
  const [batch, , rows, dim] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(x, [batch, x.staticDim(1) / group, multiplyDims(rows, group), dim]);
}

/** [batch, keyHeads, group·rows, ·] → [batch, heads, rows, ·] */
export function splitHeads<D extends Dtype>(x: Tensor<D>, group: number, rows: Dim): Tensor<D> {
  if (group === 1) return x;
  const [batch, , , dim] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(x, [batch, x.staticDim(1) * group, rows, dim]);
}

/** What each key head has for rows of queries, [batch, keyHeads, rows, ·], for all rows of its group: [batch, keyHeads, group·rows, ·]. */
export function repeatRows<D extends Dtype>(x: Tensor<D>, group: number): Tensor<D> {
  return group === 1 ? x : gatherHeads(repeatHeads(x, group), group);
}

/** The same for tokens: [batch, length, keyHeads, ·] → [batch, length, heads, ·]. */
export function repeatTokenHeads(x: Tensor, group: number): Tensor {
  if (group === 1) return x;
  const [batch, length, heads, dim] = x.shape as [Dim, Dim, Dim, Dim];
  const copies = broadcastTo(reshape(x, [batch, length, heads, 1, dim]), [batch, length, heads, group, dim]);
  return reshape(copies, [batch, length, multiplyDims(heads, group), dim]);
}

/** Each head `group` times in a row: [batch, keyHeads, rows, ·] → [batch, heads, rows, ·]. */
export function repeatHeads<D extends Dtype>(x: Tensor<D>, group: number): Tensor<D> {
  if (group === 1) return x;
  const [batch, heads, rows, dim] = x.shape as [Dim, Dim, Dim, Dim];
  const copies = broadcastTo(reshape(x, [batch, heads, 1, rows, dim]), [batch, heads, group, rows, dim]);
  return reshape(copies, [batch, multiplyDims(heads, group), rows, dim]);
}

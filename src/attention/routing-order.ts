/**
 * Where keys and queries stand when they are sorted by cluster and then by time, so that a query finds the keys that it sees
 * side by side. All of it is counting: sums over the tokens of 0 and 1 for each cluster, and no matrix of pairs.
 *
 * Keys stand in *slots*: those of each cluster in order, in blocks of `window`, the last block of a cluster not full. The keys
 * that a query sees are slots `low` to `high`, in the block of the last key of its cluster that came before it, or was read
 * with it, and in the one before (and the next one, where it sees later keys too). Queries with the same block stand in
 * *tiles* of a number of rows, which then need the keys of two or three blocks. With S queries before its block's first one,
 * the tiles of block b begin at ⌊S/rows⌋ + b: there are never more than length/rows + blocks of them.
 *
 * Numbers of slots and tokens are float32, exact up to 2²⁴.
 */
import type { Dtype } from '../base/array.js';
import { addDims, ceilDivide, type Dim, multiplyDims, subtractDims } from '../base/dimension.js';
import {
  add,
  cast,
  cumulativeSum,
  divide,
  equal,
  floor,
  invertIndices,
  less,
  maximum,
  minimum,
  multiply,
  range,
  reshape,
  scalar,
  size,
  slice,
  subtract,
  sum,
  type Tensor,
  takeRows,
  where,
  withGradient,
} from '../graph/index.js';
import { repeatHeads } from './heads.js';
import { firstRows, flatIndices } from './take.js';

/** Rows of a table [batch, heads, rows, ·] that stand somewhere, [batch, heads, places], counted over all of batch and heads. */
export type Places = Tensor<'int32'>;

/** The rows at some places: [batch, heads, rows, ·] → [batch, heads, places, ·]. */
export function rowsAt<D extends Dtype>(table: Tensor<D>, places: Places): Tensor<D> {
  const [batch, heads, rows, ...rest] = table.shape as [Dim, Dim, Dim, ...Dim[]];
  return takeRows(reshape(table, [multiplyDims(multiplyDims(batch, heads), rows), ...rest]), places);
}

/** The same where each row is wanted at one place, which has a gradient without sums: `back` has the place of each row. */
export function movedRows(table: Tensor, places: Places, back: Places, isTaken?: Tensor<'bool'>): Tensor {
  return withGradient([table], [rowsAt(table, places)], ([g]) => {
    const found = rowsAt(g!, back);
    return [isTaken === undefined ? found : where(isTaken, found, scalar(0))];
  })[0];
}

/** For places [batch, heads, rows], from 0 to `count` − 1: the row at each of them, the first one at those that are free. */
function invert(place: Tensor, count: Dim): Places {
  const [batch, heads, rows] = place.shape as [Dim, Dim, Dim];
  const all = multiplyDims(batch, heads);
  const flat = reshape(flatIndices(place, count), [multiplyDims(all, rows)]);
  const found = reshape(invertIndices(flat, multiplyDims(all, count)), [batch, heads, count]);
  return maximum(found, firstRows([batch, heads], rows));
}

/** What a cluster's number is for members of it: [batch, heads, rows, clusters] and something that broadcasts to it → [batch, heads, rows]. */
function ofCluster(members: Tensor, numbers: Tensor): Tensor {
  return sum(multiply(members, numbers), -1);
}

/** Where the keys stand. */
export interface KeyOrder {
  readonly window: number;
  /** Blocks of `window` slots. */
  readonly blocks: Dim;
  /** The key in each slot, [batch, keyHeads, slots]. */
  readonly keys: Places;
  /** The slot of each key, [batch, keyHeads, keys]; one of no meaning for a hidden key. */
  readonly slots: Places;
  /** Keys of each cluster up to each one, itself among them, [batch, keyHeads, keys, clusters]. */
  readonly counts: Tensor;
  /** Keys of each cluster, and its first slot, [batch, keyHeads, 1, clusters]. */
  readonly totals: Tensor;
  readonly first: Tensor;
}

/** The order of keys, given what each is a member of, [batch, keyHeads, keys, clusters], all 0 for a hidden key. */
export function keyOrder(members: Tensor, most: number): KeyOrder {
  const [keys, clusters] = [members.dim(2), members.staticDim(3)];
  const window = typeof keys === 'number' ? Math.min(most, keys) : most; // no cluster has more
  const blocks = addDims(ceilDivide(keys, window), clusters);
  const slotCount = multiplyDims(blocks, window);
  const counts = cumulativeSum(members, 2);
  const totals = slice(counts, 2, subtractDims(keys, 1));
  // An empty cluster has a block too, at which its queries stand.
  const own = maximum(floor(divide(add(totals, window - 1), window)), 1);
  const first = multiply(cumulativeSum(own, -1, { exclusive: true }), window);
  const slot = subtract(ofCluster(members, add(first, counts)), 1);
  const isMember = less(0, sum(members, -1));
  const wide = addDims(slotCount, 1); // with a place for all that is hidden
  const found = invert(where(isMember, slot, size(slotCount)), wide);
  return {
    ...{ window, blocks, counts, totals, first },
    keys: slice(found, 2, 0, slotCount),
    slots: flatIndices(where(isMember, slot, scalar(0)), slotCount),
  };
}

/** Where the queries stand. */
export interface QueryOrder {
  readonly tiles: Dim;
  /** The query in each row of the tiles, [batch, heads, tiles·rows], and whether it is there. */
  readonly queries: Places;
  readonly isTaken: Tensor<'bool'>;
  /** The row of each query, [batch, heads, length]. */
  readonly rows: Places;
  /** The block of each tile, [batch, heads, tiles]. */
  readonly block: Tensor;
  /** The first and the last slot that each query sees, [batch, heads, length]; none where the last is before the first. */
  readonly low: Tensor;
  readonly high: Tensor;
}

/**
 * The order of queries, the last of the keys' tokens, given the cluster that each asks, [batch, heads, length, clusters], of
 * heads of which `group` share a key head.
 */
export function queryOrder(
  asked: Tensor,
  order: KeyOrder,
  { group, rows, isCausal }: { readonly group: number; readonly rows: number; readonly isCausal: boolean },
): QueryOrder {
  const { window, blocks } = order;
  const [keys, length] = [order.counts.dim(2), asked.dim(2)];
  const past = subtractDims(keys, length);
  const ofHeads = (x: Tensor) => repeatHeads(x, group);
  const first = ofCluster(asked, ofHeads(order.first));
  const seen = ofCluster(asked, ofHeads(slice(order.counts, 2, past)));
  const last = subtract(add(first, seen), 1); // the slot of the latest key, or the one before the first
  const low = maximum(subtract(last, window - 1), first);
  const end = subtract(add(first, ofCluster(asked, ofHeads(order.totals))), 1);
  const high = isCausal ? last : minimum(add(last, window - 1), end);
  const block = floor(divide(maximum(last, first), window));

  // A block's first query came with the block's first key, or is the first one of the cluster.
  const opening = multiply(block, window);
  const ownKeys = subtract(order.keys, firstRows(order.counts.shape.slice(0, 2), keys));
  const opener = rowsAt(repeatHeads(asColumn(ownKeys), group), flatIndices(opening, ownKeys.dim(2)));
  const time = maximum(subtract(cast(opener, 'float32'), size(past)), 0); // [batch, heads, length, 1]
  const before = cumulativeSum(asked, 2, { exclusive: true });
  const atOpening = ofCluster(asked, rowsAt(before, flatIndices(reshape(time, first.shape), length)));
  const earlier = where(equal(opening, first), scalar(0), atOpening); // of its cluster, before the block

  const others = cumulativeSum(sum(asked, 2, true), -1, { exclusive: true }); // of all clusters before its own
  const tile = add(floor(divide(add(ofCluster(asked, others), earlier), rows)), block);
  const place = add(multiply(tile, rows), subtract(ofCluster(asked, before), earlier));
  const tiles = addDims(ceilDivide(length, rows), blocks);
  const rowCount = multiplyDims(tiles, rows);
  const queries = invert(place, rowCount);
  const placeOf = (x: Tensor, places: Places) => reshape(rowsAt(asColumn(x), places), places.shape);
  const [batch, heads] = block.shape as [Dim, Dim];
  const leaders = slice(reshape(queries, [batch, heads, tiles, rows]), 3, 0, 1); // the first query of each tile
  return {
    ...{ tiles, queries, low, high },
    isTaken: equal(placeOf(place, queries), cast(range(rowCount), 'float32')),
    rows: flatIndices(place, rowCount),
    block: placeOf(block, reshape(leaders, [batch, heads, tiles])),
  };
}

/** [batch, heads, rows] → [batch, heads, rows, 1] */
function asColumn<D extends Dtype>(x: Tensor<D>): Tensor<D> {
  return reshape(x, [...x.shape, 1]);
}

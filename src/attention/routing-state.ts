/** The last tokens of each cluster, which attention that routes by clusters keeps: one size, however many tokens there were. */
import type { Dim } from '../base/dimension.js';
import type { StateSpec } from '../base/layout.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  equal,
  less,
  lessOrEqual,
  maximum,
  multiply,
  range,
  reshape,
  scalar,
  subtract,
  type Tensor,
  where,
} from '../graph/index.js';
import { swapHeads } from './layout.js';
import { membership } from './routing-clusters.js';
import { type KeyOrder, rowsAt } from './routing-order.js';
import { flatIndices } from './take.js';

/** The last tokens of each cluster, the latest one last. */
export interface RoutingState<T = Tensor> {
  /** [batch, keyHeads, clusters, window, dim] */
  readonly key: T;
  /** [batch, keyHeads, clusters, window, valueDim] */
  readonly value: T;
  /** 1 where there is a token, [batch, keyHeads, clusters, window]. */
  readonly isReal: T;
}

/** What such a state is made of: nothing is there before the first token. */
export function routingStateLayout(sizes: {
  readonly batch: Dim;
  readonly keyHeads: Dim;
  readonly clusters: number;
  readonly window: number;
  readonly dim: number;
  readonly valueDim: number;
}): RoutingState<StateSpec> {
  const { batch, keyHeads, clusters, window, dim, valueDim } = sizes;
  const part = (...last: readonly number[]): StateSpec => ({
    dtype: 'float32',
    shape: [batch, keyHeads, clusters, window, ...last],
    initial: 0,
  });
  return { key: part(dim), value: part(valueDim), isReal: part() };
}

/** Keys and values in the order of time, and what each is a member of. */
export interface RoutedKeys<T = Tensor> {
  /** [batch, keyHeads, keys, dim] */
  readonly key: T;
  /** [batch, keyHeads, keys, valueDim] */
  readonly value: T;
  /** 1 for its cluster, all 0 for a hidden key, [batch, keyHeads, keys, clusters]. */
  readonly members: T;
}

/** Those of tokens [batch, length, keyHeads, ·]. */
export function routedKeys(
  {
    key,
    value,
    keyMask,
  }: { readonly key: Tensor; readonly value: Tensor; readonly keyMask?: Tensor<'bool'> | undefined },
  centroids: Tensor,
): RoutedKeys {
  const rows = swapHeads(key);
  const all = membership(rows, centroids);
  const [batch, length] = key.shape as [Dim, Dim];
  const members = keyMask === undefined ? all : multiply(all, reshape(cast(keyMask, 'float32'), [batch, 1, length, 1]));
  return { key: rows, value: swapHeads(value), members };
}

/** Those of a state, cluster by cluster. */
export function stateKeys({ key, value, isReal }: RoutingState): RoutedKeys {
  const [batch, heads, clusters, window] = isReal.shape as [Dim, Dim, number, number];
  const isThere = less(0, reshape(isReal, [batch, heads, clusters, window, 1]));
  const rows = (x: Tensor) => reshape(where(isThere, x, scalar(0)), [batch, heads, clusters * window, x.dim(-1)]);
  const isOwn = equal(reshape(range(clusters), [clusters, 1, 1]), range(clusters)); // [clusters, 1, clusters]
  const members = broadcastTo(cast(isOwn, 'float32'), [batch, heads, clusters, window, clusters]);
  return { key: rows(key), value: rows(value), members: rows(members) };
}

/** Keys and those after them. */
export function joinKeys(first: RoutedKeys, second: RoutedKeys): RoutedKeys {
  const both = (name: keyof RoutedKeys) => concatenate([first[name], second[name]], 2);
  return { key: both('key'), value: both('value'), members: both('members') };
}

/** The state after all of them: the last `window` keys of each cluster. */
export function stateAfter(
  { key, value }: RoutedKeys,
  { keys, first, totals }: KeyOrder,
  window: number,
): RoutingState {
  const [batch, heads, , clusters] = totals.shape as [Dim, Dim, 1, number];
  const column = (x: Tensor) => reshape(x, [batch, heads, clusters, 1]);
  const rank = add(column(totals), subtract(cast(range(window), 'float32'), window)); // below 0 where there is no such key
  const isThere = lessOrEqual(scalar(0), rank);
  const slot = add(column(first), maximum(rank, 0));
  const slots = flatIndices(reshape(slot, [batch, heads, clusters * window]), keys.dim(2));
  const places = reshape(rowsAt(reshape(keys, [...keys.shape, 1]), slots), slots.shape);
  const rows = (x: Tensor) => {
    const found = reshape(rowsAt(x, places), [batch, heads, clusters, window, x.dim(-1)]);
    return where(reshape(isThere, [batch, heads, clusters, window, 1]), found, scalar(0));
  };
  return { key: rows(key), value: rows(value), isReal: cast(isThere, 'float32') };
}

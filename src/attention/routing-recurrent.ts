/**
 * Attention that routes by clusters (routing.ts), one token at a time: after a state, or beside it, where the last tokens stand
 * until they are written into the state (deferred.ts says why).
 */
import { type Dim, subtractDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  cumulativeSum,
  less,
  matmul,
  oneHot,
  range,
  reshape,
  scalar,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import { deferredTerms, type RecentTokens } from './deferred.js';
import { gatherHeads, groupOf, repeatHeads, splitHeads } from './heads.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import { comparedRows, joinRows, mapRows, type NearTerms, ownTerms, pairTerms } from './near-terms.js';
import { recurrentTerms } from './recurrent.js';
import { checkRouting, divideNear, expectSeparable, type RoutingHybridState, type RoutingOptions } from './routing.js';
import { clusterOf } from './routing-clusters.js';
import { keyOrder, rowsAt } from './routing-order.js';
import { joinKeys, type RoutedKeys, type RoutingState, routedKeys, stateAfter, stateKeys } from './routing-state.js';
import { flatIndices } from './take.js';
import { type AttentionTerms, divideTerms } from './terms.js';

/** What one token reads beside its inputs. */
export type RoutingTokenOptions = Pick<RoutingOptions, 'centroids'>;

/** The state with one token in it: the oldest token of its cluster makes place. */
function pushed(state: RoutingState, { key, value, members }: RoutedKeys): RoutingState {
  const [batch, heads, clusters] = state.isReal.shape as [Dim, Dim, number];
  const isOwn = less(0, reshape(members, [batch, heads, clusters, 1, 1]));
  const push = (rows: Tensor, row: Tensor) => {
    const own = broadcastTo(reshape(row, [batch, heads, 1, 1, row.dim(-1)]), [batch, heads, clusters, 1, row.dim(-1)]);
    return where(isOwn, concatenate([slice(rows, 3, 1), own], 3), rows);
  };
  const column = reshape(state.isReal, [...state.isReal.shape, 1]);
  const isReal = push(column, broadcastTo(scalar(1), [batch, heads, 1, 1]));
  return { key: push(state.key, key), value: push(state.value, value), isReal: reshape(isReal, state.isReal.shape) };
}

/** What one token sees of its cluster. */
interface NearToken {
  readonly near: readonly NearTerms[];
  /** The token itself as a key. */
  readonly own: RoutedKeys;
}

/**
 * The near terms of one token after a state and the tokens that came since, if there are any. What it sees is found by
 * counting: of the keys of the cluster that it asks, those after which fewer than `window` came.
 */
function tokenTerms(
  inputs: AttentionInputs,
  { centroids }: RoutingTokenOptions,
  state: RoutingState,
  { recent, map }: { readonly recent?: RoutedKeys | undefined; readonly map?: FeatureMap | undefined },
): NearToken {
  const group = groupOf(inputs.query, inputs.key);
  const own = routedKeys(inputs, centroids);
  const since = recent === undefined ? own : joinKeys(recent, own);
  const query = comparedRows(swapHeads(inputs.query), map, 'query');
  const chosen = clusterOf(query.rows, centroids); // [batch, heads, 1]
  const [batch, heads] = chosen.shape as [Dim, number];
  const [keyHeads, clusters] = [own.key.staticDim(1), centroids.staticDim(1)];
  const places = flatIndices(cast(reshape(chosen, [batch, keyHeads, group]), 'float32'), clusters);
  const found = (x: Tensor) => reshape(rowsAt(x, places), [batch, heads, ...x.shape.slice(3)]);
  const ofHeads = (x: Tensor) => repeatHeads(x, group);
  const window = state.isReal.staticDim(3);
  const asked = reshape(oneHot(chosen, clusters), [batch, heads, 1, clusters]);
  const isMember = matmul(asked, ofHeads(since.members), { transposeRight: true }); // [batch, heads, 1, tokens since]
  const count = sum(isMember, -1, true);
  // Of each key of the cluster, those that came after it; of others as many as hide it.
  const afterThose = add(count, subtract(window - 1, cast(range(window), 'float32')));
  const isThere = less(0, reshape(found(state.isReal), [batch, heads, 1, window]));
  const after = concatenate(
    [
      where(isThere, afterThose, scalar(window)),
      where(less(0, isMember), subtract(count, cumulativeSum(isMember, -1)), scalar(window)),
    ],
    -1,
  );
  const sinceRows = mapRows(comparedRows(since.key, map, 'key'), ofHeads);
  const latest = comparedRows(gatherHeads(found(state.key), group), map, 'key');
  const keys = joinRows(
    mapRows(latest, (x) => splitHeads(x, group, window)),
    sinceRows,
  );
  const value = concatenate([found(state.value), ofHeads(since.value)], 2);
  const itself = mapRows(sinceRows, (x) => slice(x, 2, subtractDims(x.dim(2), 1)));
  const beside = { value: ofHeads(own.value), asked, members: ofHeads(own.members) };
  return {
    near: [pairTerms(query, keys, { value, visible: less(after, window) }), ownTerms(query, itself, beside)],
    own,
  };
}

function divideExact(near: readonly NearTerms[]): Tensor {
  const [first, ...others] = near.map(({ exact }) => exact) as [AttentionTerms, ...AttentionTerms[]];
  return divideTerms(first, ...others);
}

/**
 * Routing attention for one token [batch, 1, heads, dim] after a state: its output and the next state. A row whose keyMask is
 * false leaves its state as it was. Throws as `routingAttention`.
 */
export function recurrentRouting(
  given: AttentionInputs,
  options: RoutingTokenOptions,
  state: RoutingState,
): { output: Tensor; state: RoutingState } {
  const inputs = checkToken(given, options, state);
  const { near, own } = tokenTerms(inputs, options, state, {});
  return { output: divideExact(near), state: pushed(state, own) };
}

/** The same with FAVOR+ for all other keys. Throws as `routingHybridAttention`. */
export function recurrentRoutingHybrid(
  given: AttentionInputs,
  map: FeatureMap,
  options: RoutingTokenOptions,
  state: RoutingHybridState,
): { output: Tensor; state: RoutingHybridState } {
  expectSeparable(map);
  const inputs = checkToken(given, options, state.near);
  const { near, own } = tokenTerms(inputs, options, state.near, { map });
  const far = recurrentTerms(inputs, map, state.far);
  return { output: divideNear(near, far.terms), state: { near: pushed(state.near, own), far: far.state } };
}

/** Routing attention for one token beside a state and the tokens after it: its output, and the token as a recent one. */
export function deferredRouting(
  given: AttentionInputs,
  options: RoutingTokenOptions,
  state: RoutingState,
  recent: RoutedKeys,
): { output: Tensor; state: RoutedKeys } {
  const { near, own } = tokenTerms(checkToken(given, options, state), options, state, { recent });
  return { output: divideExact(near), state: own };
}

/** Tokens that no state holds yet: as they are, and their features. */
export interface RecentRoutingHybrid<T = Tensor> {
  readonly near: RoutedKeys<T>;
  readonly far: RecentTokens<T>;
}

/** The same with FAVOR+ for all other keys. Throws as `routingHybridAttention`. */
export function deferredRoutingHybrid(
  given: AttentionInputs,
  map: FeatureMap,
  options: RoutingTokenOptions,
  { state, recent }: { readonly state: RoutingHybridState; readonly recent: RecentRoutingHybrid },
): { output: Tensor; state: RecentRoutingHybrid } {
  expectSeparable(map);
  const inputs = checkToken(given, options, state.near);
  const { near, own } = tokenTerms(inputs, options, state.near, { recent: recent.near, map });
  const far = deferredTerms(inputs, map, { ...state.far, recent: recent.far });
  return { output: divideNear(near, far.terms), state: { near: own, far: far.state } };
}

/** The state with the recent tokens in it. */
export function addToClusters(state: RoutingState, recent: RoutedKeys): RoutingState {
  const window = state.isReal.staticDim(3);
  const all = joinKeys(stateKeys(state), recent);
  return stateAfter(all, keyOrder(all.members, window), window);
}

function checkToken(given: AttentionInputs, { centroids }: RoutingTokenOptions, { isReal }: RoutingState) {
  return checkRouting(given, { centroids, window: isReal.staticDim(3), isCausal: true });
}

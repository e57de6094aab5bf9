/** Attention that routes by clusters (routing.ts), one token at a time after a state. */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  cast,
  concatenate,
  less,
  oneHot,
  reshape,
  scalar,
  slice,
  type Tensor,
  where,
} from '../graph/index.js';
import { gatherHeads, groupOf, repeatHeads, splitHeads } from './heads.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import { comparedRows, mapRows, type NearTerms, ownTerms, pairTerms } from './near-terms.js';
import { recurrentTerms } from './recurrent.js';
import { checkRouting, divideNear, expectSeparable, type RoutingHybridState, type RoutingOptions } from './routing.js';
import { clusterOf } from './routing-clusters.js';
import { rowsAt } from './routing-order.js';
import { type RoutedKeys, type RoutingState, routedKeys } from './routing-state.js';
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

/** The near terms of one token, and the next state. */
function tokenTerms(
  inputs: AttentionInputs,
  { centroids }: RoutingTokenOptions,
  state: RoutingState,
  map?: FeatureMap,
): { readonly near: readonly NearTerms[]; readonly state: RoutingState } {
  const group = groupOf(inputs.query, inputs.key);
  const own = routedKeys(inputs, centroids);
  const next = pushed(state, own);
  const query = comparedRows(swapHeads(inputs.query), map, 'query');
  const asked = clusterOf(query.rows, centroids); // [batch, heads, 1]
  const [batch, heads] = asked.shape as [Dim, number];
  const keyHeads = own.key.staticDim(1);
  const places = flatIndices(cast(reshape(asked, [batch, keyHeads, group]), 'float32'), centroids.staticDim(1));
  const found = (x: Tensor) => reshape(rowsAt(x, places), [batch, heads, ...x.shape.slice(3)]);
  const window = next.isReal.staticDim(3);
  const visible = less(0, reshape(found(next.isReal), [batch, heads, 1, window]));
  const latest = comparedRows(gatherHeads(found(next.key), group), map, 'key');
  const keys = mapRows(latest, (x) => splitHeads(x, group, window));
  const itself = mapRows(comparedRows(own.key, map, 'key'), (x) => repeatHeads(x, group));
  const beside = {
    value: repeatHeads(own.value, group),
    asked: reshape(oneHot(asked, centroids.staticDim(1)), [batch, heads, 1, centroids.staticDim(1)]),
    members: repeatHeads(own.members, group),
  };
  return {
    near: [pairTerms(query, keys, { value: found(next.value), visible }), ownTerms(query, itself, beside)],
    state: next,
  };
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
  const { near, state: next } = tokenTerms(inputs, options, state);
  const [first, ...others] = near.map(({ exact }) => exact) as [AttentionTerms, ...AttentionTerms[]];
  return { output: divideTerms(first, ...others), state: next };
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
  const { near, state: next } = tokenTerms(inputs, options, state.near, map);
  const far = recurrentTerms(inputs, map, state.far);
  return { output: divideNear(near, far.terms), state: { near: next, far: far.state } };
}

function checkToken(given: AttentionInputs, { centroids }: RoutingTokenOptions, { isReal }: RoutingState) {
  return checkRouting(given, { centroids, window: isReal.staticDim(3), isCausal: true });
}

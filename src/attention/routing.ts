/**
 * Routing attention (Roy et al. 2021, arXiv 2003.05997): exact softmax attention to the keys of a cluster, which the content
 * chooses, alone or with FAVOR+ for all other keys under one denominator.
 *
 * A query sees the `window` latest keys of the cluster that it asks (routing-clusters.ts), and its own key; where attention is
 * not causal, those fewer than `window` places away in the order of the cluster, earlier and later ones. Roy et al. give each
 * cluster its nearest tokens of the whole sequence, equally many, by which a token that comes later decides what an earlier one
 * sees. With N the keys that a query sees so:
 *
 *   alone         o_i = Σ_{j∈N} e^{q_i·k_j/√dim} v_j / Σ_{j∈N} e^{q_i·k_j/√dim}
 *   with FAVOR+   the same with Σ_j φ(q_i)·φ(k_j) v_j − Σ_{j∈N} φ(q_i)·φ(k_j) v_j, and so without v_j, added to both sums
 *
 * So numerator and denominator are unbiased estimates of those of exact attention, where the features are, and their errors
 * come from the keys outside of N. What remains of the estimate, `withoutParts`, is taken for 0 where it is rounding.
 */
import { type Dim, multiplyDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  and,
  cast,
  concatenate,
  lessOrEqual,
  matmul,
  maximum,
  minimum,
  multiply,
  oneHot,
  range,
  reshape,
  size,
  subtract,
  type Tensor,
  withGradient,
} from '../graph/index.js';
import { bidirectionalTerms } from './bidirectional.js';
import { causalTerms } from './causal.js';
import { groupOf, repeatHeads } from './heads.js';
import { type AttentionInputs, checkInputs, refuseSequenceWide, swapHeads, withoutHidden } from './layout.js';
import {
  type ComparedRows,
  comparedRows,
  joinRows,
  mapRows,
  mapTerms,
  type NearTerms,
  ownTerms,
  pairTerms,
} from './near-terms.js';
import { membership } from './routing-clusters.js';
import { type KeyOrder, keyOrder, movedRows, type QueryOrder, queryOrder, rowsAt } from './routing-order.js';
import { joinKeys, type RoutingState, routedKeys, stateAfter, stateKeys } from './routing-state.js';
import type { AttentionState } from './state.js';
import { flatIndices } from './take.js';
import { type AttentionTerms, divideTerms, withoutParts } from './terms.js';
import { expectWindow, refuseState } from './window-state.js';

/** What attention that routes by clusters has beside its inputs. */
export interface RoutingOptions {
  /** The centroids of the clusters of each key head, [keyHeads, clusters, dim]; `measureCentroids` finds them. */
  readonly centroids: Tensor;
  /** Keys of its cluster that a query sees: of causal attention the latest, else those nearer than this on either side. */
  readonly window: number;
  readonly isCausal: boolean;
  /** What was read before these tokens. Causal only. */
  readonly state?: RoutingState | undefined;
}

/** Rows of a tile at most: fewer have dearer products, more leave more of them free. */
const mostRows = 64;
const rowsOfTile = ({ window }: KeyOrder) => Math.min(window, mostRows);

/** Blocks of a head at most whose gradients are added up by a product with the one-hot choices, whose cost goes with them. */
const mostSummed = 256;

/** What stands in slots, [batch, keyHeads, slots, ·], of the blocks of each tile: [batch·heads, tiles, keys, ·]. */
function blocksOf(x: Tensor, { blocks, window }: KeyOrder, chosen: Tensor): Tensor {
  const [batch, keyHeads, , dim] = x.shape as [Dim, Dim, Dim, number];
  const [, heads, tiles, count] = chosen.shape as [Dim, number, Dim, number];
  const group = heads / x.staticDim(1);
  const table = reshape(x, [batch, keyHeads, blocks, window * dim]);
  const wanted = reshape(chosen, [batch, keyHeads, multiplyDims(multiplyDims(tiles, count), group)]);
  const plain = rowsAt(table, flatIndices(wanted, blocks));
  const found =
    typeof blocks === 'number' && blocks <= mostSummed
      ? withGradient([table], [plain], ([g]) => {
          return [matmul(oneHot(cast(wanted, 'int32'), blocks), g!, { transposeLeft: true })];
        })[0]
      : plain;
  return reshape(found, [multiplyDims(batch, heads), tiles, count * window, dim]);
}

/** The terms of queries over the keys of their clusters, as tokens [batch, length, heads, ·]. */
function clusterTerms(
  query: ComparedRows,
  key: ComparedRows,
  value: Tensor,
  { order, queries, isCausal }: { readonly order: KeyOrder; readonly queries: QueryOrder; readonly isCausal: boolean },
): NearTerms {
  const { window, blocks } = order;
  const { tiles, block, low, high } = queries;
  const [batch, heads, length] = query.rows.shape as [Dim, Dim, Dim];
  const all = multiplyDims(batch, heads);
  const around = isCausal ? [-1, 0] : [-1, 0, 1];
  const first = reshape(block, [batch, heads, tiles, 1]);
  const near = concatenate(
    around.map((offset) => add(first, offset)),
    -1,
  ); // [batch, heads, tiles, 2 or 3]
  const chosen = minimum(maximum(near, 0), subtract(size(blocks), 1));
  const rows = rowsOfTile(order);
  const toTiles = (x: Tensor) => reshape(movedRows(x, queries.queries, queries.rows), [all, tiles, rows, x.dim(-1)]);
  const toSlots = (x: Tensor) => blocksOf(movedRows(x, order.keys, order.slots), order, chosen);

  const within = cast(range(window), 'float32');
  const slot = add(multiply(reshape(near, [all, tiles, around.length, 1]), window), within);
  const slots = reshape(slot, [all, tiles, 1, around.length * window]);
  const bound = (x: Tensor) =>
    reshape(rowsAt(reshape(x, [batch, heads, length, 1]), queries.queries), [all, tiles, rows, 1]);
  const visible = and(lessOrEqual(bound(low), slots), lessOrEqual(slots, bound(high)));
  const terms = pairTerms(mapRows(query, toTiles), mapRows(key, toSlots), { value: toSlots(value), visible });

  const isSeen = reshape(lessOrEqual(low, high), [batch, heads, length, 1]);
  const toTokens = (x: Tensor) => {
    const table = reshape(swapHeads(x), [batch, heads, multiplyDims(tiles, rows), x.dim(-1)]);
    const isTaken = reshape(queries.isTaken, [...queries.isTaken.shape, 1]);
    return swapHeads(movedRows(table, queries.rows, queries.queries, isTaken));
  };
  return mapTerms(terms, ({ numerator, logScale }) => ({
    numerator: toTokens(numerator),
    denominator: undefined,
    logScale: toTokens(logScale),
    visible: swapHeads(isSeen),
  }));
}

/** The terms of the keys that are near, and of causal attention the state after them. */
function nearTerms(
  inputs: AttentionInputs,
  { centroids, window, isCausal, state }: RoutingOptions,
  map?: FeatureMap,
): { readonly near: readonly NearTerms[]; readonly state: RoutingState | undefined } {
  const group = groupOf(inputs.query, inputs.key);
  const own = routedKeys(inputs, centroids);
  const ownKey = comparedRows(own.key, map, 'key');
  const before = state && stateKeys(state);
  const all = before === undefined ? own : joinKeys(before, own);
  const key = before === undefined ? ownKey : joinRows(comparedRows(before.key, map, 'key'), ownKey);
  const order = keyOrder(all.members, window);
  const query = comparedRows(swapHeads(inputs.query), map, 'query');
  const asked = membership(query.rows, centroids);
  const queries = queryOrder(asked, order, { group, rows: rowsOfTile(order), isCausal });
  const clusters = clusterTerms(query, key, all.value, { order, queries, isCausal });
  const ofHeads = (x: Tensor) => repeatHeads(x, group);
  const beside = { value: ofHeads(own.value), asked, members: ofHeads(own.members) };
  return {
    near: [clusters, ownTerms(query, mapRows(ownKey, ofHeads), beside)],
    state: isCausal ? stateAfter(all, order, window) : undefined,
  };
}

/** Throws SHAPE for inputs or centroids that do not fit, and CONFIG for a window or a state that is none. */
export function checkRouting(
  given: AttentionInputs,
  { centroids, window, isCausal, state }: RoutingOptions,
): AttentionInputs {
  checkInputs('routingAttention', given, true);
  expectWindow('routingAttention', window);
  if (!isCausal) refuseState('routingAttention', state);
  const [, , heads, dim] = given.key.shape;
  if (centroids.rank !== 3 || centroids.dim(0) !== heads || centroids.dim(2) !== dim) {
    throw new PerformerError(
      'SHAPE',
      `routingAttention: expected centroids [${heads}, clusters, ${dim}], as many as key heads and as wide, got ${centroids}.`,
    );
  }
  return withoutHidden(given);
}

/**
 * Exact softmax attention to the keys of a cluster, [batch, length, heads, dim] of queries, keys and values of one length, in
 * time and memory linear in it: the output, and of causal attention the state after it.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for a window that is no positive integer, and for a state of attention that
 *   is not causal.
 */
export function routingAttention(
  given: AttentionInputs,
  options: RoutingOptions,
): { output: Tensor; state: RoutingState | undefined } {
  const { near, state } = nearTerms(checkRouting(given, options), options);
  const [first, ...others] = near.map(({ exact }) => exact) as [AttentionTerms, ...AttentionTerms[]];
  return { output: divideTerms(first, ...others), state };
}

/** What is kept of the tokens read: the last ones of each cluster as they are, and sums of all. */
export interface RoutingHybridState<T = Tensor> {
  readonly near: RoutingState<T>;
  readonly far: AttentionState<T>;
}

/** What routing with FAVOR+ for all other keys has beside its inputs. */
export interface RoutingHybridOptions extends Omit<RoutingOptions, 'state'> {
  /** Tokens that FAVOR+ reads at once; changes the speed and nothing else. */
  readonly chunk?: number | undefined;
  readonly state?: RoutingHybridState | undefined;
}

/** Throws CONFIG for features whose part in a sum over all keys cannot be taken out of it again. */
export function expectSeparable(map: FeatureMap): void {
  refuseSequenceWide('routingHybridAttention', map);
  const { name, isSigned, usesPosition } = map;
  if (!isSigned && !usesPosition) return;
  const wanted = isSigned ? 'features that are positive' : 'features without positions';
  throw new PerformerError('CONFIG', `routingHybridAttention: expected ${wanted}, got ${name}. Use positive features.`);
}

/** The output of exact weights for keys that are near, and of those that features estimate for all others. */
export function divideNear(near: readonly NearTerms[], all: AttentionTerms): Tensor {
  const rest = withoutParts(
    all,
    near.map(({ estimate }) => estimate!),
  );
  return divideTerms(rest, ...near.map(({ exact }) => exact));
}

/**
 * Exact attention to the keys of a cluster and FAVOR+ to all others under one denominator: as `routingAttention`.
 *
 * @throws as it does, and CONFIG for features that can be negative, that use positions, or that see the whole sequence.
 */
export function routingHybridAttention(
  given: AttentionInputs,
  map: FeatureMap,
  { chunk, state, ...options }: RoutingHybridOptions,
): { output: Tensor; state: RoutingHybridState | undefined } {
  expectSeparable(map);
  const inputs = checkRouting(given, { ...options, state: state?.near });
  const { near, state: next } = nearTerms(inputs, { ...options, state: state?.near }, map);
  if (next === undefined) return { output: divideNear(near, bidirectionalTerms(inputs, map)), state: undefined };
  const far = causalTerms(inputs, map, { chunk, state: state?.far });
  return { output: divideNear(near, far.terms), state: { near: next, far: far.state } };
}

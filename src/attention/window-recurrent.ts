/**
 * Attention to the last tokens, one token at a time: after a state, or beside it, where the last tokens stand until they are
 * written into the state (`deferred.ts` says why).
 *
 * Rows beside the state may have gaps, of tokens that were none for one text and some for another. So the tokens of a window
 * are found by their ranks, the number of real tokens that came later.
 */
import type { Dim } from '../base/dimension.js';
import {
  and,
  broadcastTo,
  cast,
  cumulativeSum,
  equal,
  less,
  matmul,
  multiply,
  range,
  reshape,
  scalar,
  slice,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { gatherHeads, splitHeads } from './heads.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import type { AttentionTerms } from './terms.js';
import { meanOf, seesSome } from './visible.js';
import { joinRows, joinWindow, readOn, type WindowState } from './window-state.js';

/** The terms of one token over the keys [batch, keyHeads, keys, dim] that are real. */
export function nearestTerms(
  { query }: Pick<AttentionInputs, 'query'>,
  { key, value, isReal }: WindowState,
): AttentionTerms {
  const [batch, keyHeads, keys] = key.shape as [Dim, number, Dim];
  const group = query.staticDim(2) / keyHeads;
  const scale = key.staticDim(-1) ** -0.5;
  const scores = matmul(gatherHeads(swapHeads(query), group), key, { transposeRight: true, scale });
  const visible = less(0, reshape(isReal, [batch, 1, 1, keys]));
  return meanOf(splitHeads(scores, group, 1), { value, visible, seen: seesSome(visible), group });
}

/** The real tokens that came after each one, [batch, 1, tokens, 1]. */
function ranksOf(isReal: Tensor): Tensor {
  return subtract(sum(isReal, 2, true), cumulativeSum(isReal, 2));
}

/** What `found` [batch, rows, tokens] picks of x [batch, heads, tokens, ·]. */
function pick(found: Tensor, x: Tensor): Tensor {
  const [batch, rows, tokens] = found.shape as [Dim, Dim, Dim];
  const heads = x.dim(1);
  return matmul(broadcastTo(reshape(found, [batch, 1, rows, tokens]), [batch, heads, rows, tokens]), x);
}

function pickAll(found: Tensor, { key, value }: WindowState): WindowState {
  const [batch, rows] = found.shape as [Dim, Dim];
  return { key: pick(found, key), value: pick(found, value), isReal: reshape(sum(found, -1), [batch, 1, rows, 1]) };
}

/** 1 where a token has one of the ranks [rows]: [batch, rows, tokens]. */
function ofRanks(isReal: Tensor, ranks: Tensor): Tensor {
  const [batch, , tokens] = isReal.shape as [Dim, Dim, Dim];
  const row = (x: Tensor) => reshape(x, [batch, 1, tokens]);
  const isFound = equal(row(ranksOf(isReal)), reshape(ranks, [ranks.dim(0), 1]));
  return cast(and(isFound, less(0, row(isReal))), 'float32');
}

/** The state with the recent tokens in it. */
export function addToWindow(state: WindowState, recent: WindowState): WindowState {
  const window = state.key.staticDim(2);
  const all = joinRows(state, recent);
  const ranks = subtract(window - 1, cast(range(window), 'float32'));
  return pickAll(ofRanks(all.isReal, ranks), all);
}

/** Attention to a window for one token after a state, and the next state. */
export function recurrentWindow(
  inputs: AttentionInputs,
  state: WindowState,
): { readonly terms: AttentionTerms; readonly state: WindowState } {
  const all = joinWindow(state, inputs);
  const last = (x: Tensor) => slice(x, 2, 1);
  const near = { key: last(all.key), value: last(all.value), isReal: last(all.isReal) };
  return { terms: nearestTerms(inputs, near), state: readOn(state, inputs) };
}

/** What one token sees of a window, and what leaves it. */
export interface DeferredWindow {
  readonly terms: AttentionTerms;
  /** The token itself as a recent one. */
  readonly row: WindowState;
  /** The token that falls out of the window, [batch, keyHeads, 1, ·]. */
  readonly oldest: WindowState;
}

/** One token beside a state and the recent tokens. */
export function deferredWindow(inputs: AttentionInputs, state: WindowState, recent: WindowState): DeferredWindow {
  const window = state.key.staticDim(2);
  const before = joinRows(state, recent);
  const isSeen = cast(less(ranksOf(before.isReal), window - 1), 'float32');
  const all = joinWindow({ ...before, isReal: multiply(before.isReal, isSeen) }, inputs);
  const count = before.key.dim(2);
  const own = (x: Tensor) => slice(x, 2, count);
  return {
    terms: nearestTerms(inputs, all),
    row: { key: own(all.key), value: own(all.value), isReal: own(all.isReal) },
    oldest: pickAll(ofRanks(before.isReal, broadcastTo(scalar(window - 1), [1])), before),
  };
}

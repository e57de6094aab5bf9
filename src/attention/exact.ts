/**
 * Exact softmax attention, softmax(QKᵀ/√dim)V: the baseline, and an oracle. Quadratic in the length.
 *
 * Its state is the list of all keys and values so far, which grows with the text: of rows side by side as the longest of them
 * does each time, with what is no token hidden for good.
 */
import { addDims, type Dim } from '../base/dimension.js';
import {
  add,
  and,
  cast,
  cumulativeSum,
  less,
  lessOrEqual,
  matmul,
  range,
  reshape,
  size,
  slice,
  type Tensor,
} from '../graph/index.js';
import { gatherHeads, groupOf, splitHeads } from './heads.js';
import { type AttentionInputs, checkInputs, swapHeads, withoutHidden } from './layout.js';
import { type RelativeBias, relativeScores } from './relative-bias.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { meanOf, seesSome } from './visible.js';
import { headRows, joinRows, type WindowState } from './window-state.js';

/** What exact attention has beside its inputs. */
export interface ExactOptions {
  readonly isCausal: boolean;
  /** Earlier tokens, which every query sees where they are real. Causal only. */
  readonly state?: ExactState | undefined;
  /** What is added to scores by the distance of query and key; nothing unless given. */
  readonly bias?: RelativeBias | undefined;
}

/**
 * The cache of exact attention, which grows with the text: all tokens so far, in the layout in which a window keeps its last
 * ones. What stands behind the end of a row that is read beside longer ones takes a place in it, where `isReal` is 0.
 */
export type ExactState<T = Tensor> = WindowState<T>;

/** Which keys each query sees, broadcast to [batch, heads, queries, keys], the `past` of a state first; absent where each sees all. */
function seenBy(
  { query, key, keyMask }: AttentionInputs,
  { isReal }: ExactState,
  { isCausal, state }: ExactOptions,
): Tensor<'bool'> | undefined {
  const queries = query.dim(1);
  const past = state === undefined ? 0 : state.key.dim(2);
  const keys = addDims(past, key.dim(1));
  const masks: Tensor<'bool'>[] = [];
  if (isCausal) {
    const offset = state === undefined ? range(queries) : add(range(queries), size(past, 'int32'));
    masks.push(lessOrEqual(range(keys), reshape(offset, [queries, 1])));
  }
  if (keyMask !== undefined || state !== undefined) masks.push(less(0, reshape(isReal, [key.dim(0), 1, 1, keys])));
  return masks.length === 0 ? undefined : masks.reduce((a, b) => and(a, b));
}

/** The places of queries and keys in their text, int32 [1 or batch, ·]: hidden tokens before a real one take none. */
function placesOf({ query, key }: AttentionInputs, { isReal }: ExactState, state: ExactState | undefined) {
  const inOrder = (length: Dim) => reshape(range(length), [1, length]);
  if (state === undefined) return { query: inOrder(query.dim(1)), key: inOrder(key.dim(1)) };
  const [past, keys] = [state.key.dim(2), isReal.dim(2)];
  const places = cast(cumulativeSum(reshape(isReal, [key.dim(0), keys]), 1), 'int32');
  return { query: slice(places, 1, past, keys), key: places };
}

/** The sums of `exactAttention`, and the state after it. */
export function exactTerms(
  given: AttentionInputs,
  options: ExactOptions,
): { readonly terms: AttentionTerms; readonly state: ExactState } {
  const { isCausal, state, bias } = options;
  checkInputs('exactAttention', given, isCausal);
  const inputs = withoutHidden(given);
  const group = groupOf(inputs.query, inputs.key);
  const query = gatherHeads(swapHeads(inputs.query), group);
  const rows = headRows(inputs);
  const all = state === undefined ? rows : joinRows(state, rows);
  const scores = matmul(query, all.key, { transposeRight: true, scale: query.staticDim(-1) ** -0.5 });
  const compared = splitHeads(scores, group, inputs.query.dim(1)); // [batch, heads, queries, keys]
  const byQuery =
    bias === undefined ? compared : add(compared, relativeScores(bias, placesOf(inputs, all, state), isCausal));
  const visible = seenBy(inputs, all, options);
  const seen = visible === undefined || inputs.keyMask === undefined ? undefined : seesSome(visible);
  return { terms: meanOf(byQuery, { value: all.value, visible, seen, group }), state: all };
}

/**
 * [batch, queries, heads, dim] attending to [batch, keys, keyHeads, dim]: the output and the state after it.
 *
 * Right while scores are finite in float32: for queries and keys of norms whose product is below 3e38. Beyond, rows whose
 * scores are not finite are NaN.
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function exactAttention(inputs: AttentionInputs, options: ExactOptions): { output: Tensor; state: ExactState } {
  const { terms, state } = exactTerms(inputs, options);
  return { output: divideTerms(terms), state };
}

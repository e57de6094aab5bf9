/**
 * Exact softmax attention, softmax(QKᵀ/√dim)V: the baseline, and an oracle. Quadratic in the length.
 *
 * Its state is the list of all keys and values so far, which grows with the text.
 */
import { addDims } from '../base/dimension.js';
import {
  add,
  and,
  broadcastTo,
  cast,
  concatenate,
  lessOrEqual,
  matmul,
  range,
  reshape,
  scalar,
  size,
  type Tensor,
} from '../graph/index.js';
import { gatherHeads, groupOf, splitHeads } from './heads.js';
import { type AttentionInputs, checkInputs, swapHeads, withoutHidden } from './layout.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { meanOf, seesSome } from './visible.js';

/** What exact attention has beside its inputs. */
export interface ExactOptions {
  readonly isCausal: boolean;
  /** Keys and values of earlier tokens: [batch, keyHeads, past, dim], which every query sees. Causal only. */
  readonly state?: ExactState | undefined;
}

/** The cache of exact attention, which grows with the text. */
export interface ExactState<T = Tensor> {
  readonly key: T;
  readonly value: T;
}

/** Which keys each query sees, broadcast to [batch, heads, queries, keys], the `past` of a state first; absent where each sees all. */
function seenBy(
  { query, key, keyMask }: AttentionInputs,
  { isCausal, state }: ExactOptions,
): Tensor<'bool'> | undefined {
  const [queries, fresh] = [query.dim(1), key.dim(1)];
  const past = state === undefined ? 0 : state.key.dim(2);
  const masks: Tensor<'bool'>[] = [];
  if (isCausal) {
    const offset = state === undefined ? range(queries) : add(range(queries), size(past, 'int32'));
    masks.push(lessOrEqual(range(addDims(past, fresh)), reshape(offset, [queries, 1])));
  }
  if (keyMask !== undefined) {
    const batch = keyMask.dim(0);
    const own = cast(keyMask, 'int32');
    const whole = state === undefined ? own : concatenate([broadcastTo(scalar(1, 'int32'), [batch, past]), own], 1);
    masks.push(reshape(cast(whole, 'bool'), [batch, 1, 1, addDims(past, fresh)]));
  }
  return masks.length === 0 ? undefined : masks.reduce((a, b) => and(a, b));
}

/** The sums of `exactAttention`, and the state after it. */
export function exactTerms(
  given: AttentionInputs,
  options: ExactOptions,
): { readonly terms: AttentionTerms; readonly state: ExactState } {
  const { isCausal, state } = options;
  checkInputs('exactAttention', given, isCausal);
  const inputs = withoutHidden(given);
  const group = groupOf(inputs.query, inputs.key);
  const query = gatherHeads(swapHeads(inputs.query), group);
  const newKey = swapHeads(inputs.key);
  const newValue = swapHeads(inputs.value);
  const key = state === undefined ? newKey : concatenate([state.key, newKey], 2);
  const value = state === undefined ? newValue : concatenate([state.value, newValue], 2);
  const scores = matmul(query, key, { transposeRight: true, scale: query.staticDim(-1) ** -0.5 });
  const byQuery = splitHeads(scores, group, inputs.query.dim(1)); // [batch, heads, queries, keys]
  const visible = seenBy(inputs, options);
  const seen = visible === undefined || inputs.keyMask === undefined ? undefined : seesSome(visible);
  return { terms: meanOf(byQuery, { value, visible, seen, group }), state: { key, value } };
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

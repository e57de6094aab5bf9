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
  softmax,
  type Tensor,
  where,
} from '../graph/index.js';
import { type AttentionInputs, checkInputs, swapHeads, withoutHidden } from './layout.js';
import { seesSome, softmaxOfVisible } from './visible.js';

export interface ExactOptions {
  readonly isCausal: boolean;
  /** Keys and values of earlier tokens: [batch, heads, past, dim], which every query sees. Causal only. */
  readonly state?: ExactState | undefined;
}

export interface ExactState<T = Tensor> {
  readonly key: T;
  readonly value: T;
}

/**
 * [batch, queries, heads, dim] attending to [batch, keys, heads, dim]: the output and the state after it.
 *
 * Right while scores are finite in float32: for queries and keys of norms whose product is below 3e38. Beyond, rows whose
 * scores are not finite are NaN.
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function exactAttention(
  given: AttentionInputs,
  { isCausal, state }: ExactOptions,
): { output: Tensor; state: ExactState } {
  checkInputs('exactAttention', given, isCausal);
  const inputs = withoutHidden(given);
  const query = swapHeads(inputs.query);
  const newKey = swapHeads(inputs.key);
  const newValue = swapHeads(inputs.value);
  const key = state === undefined ? newKey : concatenate([state.key, newKey], 2);
  const value = state === undefined ? newValue : concatenate([state.value, newValue], 2);
  const queries = query.dim(2);
  const keys = key.dim(2);
  const past = state === undefined ? 0 : state.key.dim(2);
  const scores = matmul(query, key, { transposeRight: true, scale: query.staticDim(-1) ** -0.5 });
  const masks: Tensor<'bool'>[] = [];
  if (isCausal) {
    const offset = state === undefined ? range(queries) : add(range(queries), size(past, 'int32'));
    masks.push(lessOrEqual(range(keys), reshape(offset, [queries, 1])));
  }
  if (inputs.keyMask !== undefined) {
    const [batch, fresh] = inputs.keyMask.shape;
    const own = cast(inputs.keyMask, 'int32');
    const whole = state === undefined ? own : concatenate([broadcastTo(scalar(1, 'int32'), [batch!, past]), own], 1);
    masks.push(reshape(cast(whole, 'bool'), [batch!, 1, 1, addDims(past, fresh!)]));
  }
  const visible = masks.length === 0 ? undefined : masks.reduce((a, b) => and(a, b));
  const seen = visible === undefined || inputs.keyMask === undefined ? undefined : seesSome(visible);
  const weights = visible === undefined ? softmax(scores) : softmaxOfVisible(scores, visible, seen);
  const attended = matmul(weights, value);
  const output = seen === undefined ? attended : where(seen, attended, scalar(0));
  return { output: swapHeads(output), state: { key, value } };
}

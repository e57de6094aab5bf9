/** Which keys a query sees, and a softmax over these alone, whatever the logarithms of the others are. */
import {
  and,
  cast,
  constant,
  less,
  lessOrEqual,
  max,
  range,
  reshape,
  scalar,
  softmax,
  type Tensor,
  where,
} from '../graph/index.js';
import type { AttentionInputs } from './layout.js';

/**
 * Which keys a query sees, broadcast to [batch, heads, queries, keys]; absent where each sees all. `rows` are the positions of
 * the queries, all in order unless given.
 */
export function visibleKeys(
  { query, key, keyMask }: Omit<AttentionInputs, 'value'>,
  isCausal: boolean,
  rows?: readonly number[],
): Tensor<'bool'> | undefined {
  const [batch, keys] = key.shape;
  const position = rows === undefined ? range(query.dim(1)) : constant('int32', [rows.length], rows);
  const causal = isCausal ? lessOrEqual(range(keys!), reshape(position, [position.dim(0), 1])) : undefined;
  const given = keyMask === undefined ? undefined : reshape(keyMask, [batch!, 1, 1, keys!]);
  return causal !== undefined && given !== undefined ? and(causal, given) : (causal ?? given);
}

/** Whether each query sees some key: [..., queries, 1] of visible keys [..., queries, keys]. */
export function seesSome(visible: Tensor<'bool'>): Tensor<'bool'> {
  return less(0, max(cast(visible, 'int32'), -1, true));
}

/**
 * exp(a)/Σexp(a) over the visible keys. Hidden ones are −∞ and get exactly nothing, which no finite number would do for
 * every a. In a row that sees no key all are 0 instead, so that it stays a number, and `seen` says to take zeros for it;
 * absent where each row sees some key. a [batch, heads, queries, keys].
 */
export function softmaxOfVisible(
  logWeights: Tensor,
  visible: Tensor<'bool'>,
  seen: Tensor<'bool'> | undefined,
): Tensor {
  const nothing = scalar(Number.NEGATIVE_INFINITY);
  return softmax(where(visible, logWeights, seen === undefined ? nothing : where(seen, nothing, scalar(0))));
}

/** The same, with zeros for the rows that see no key. */
export function visibleSoftmax(logWeights: Tensor, visible: Tensor<'bool'> | undefined): Tensor {
  if (visible === undefined) return softmax(logWeights);
  const seen = seesSome(visible);
  return where(seen, softmaxOfVisible(logWeights, visible, seen), scalar(0));
}

/** Which keys a query sees, and a mean over these alone, whatever the logarithms of the others are. */
import {
  and,
  cast,
  constant,
  less,
  lessOrEqual,
  log,
  matmul,
  max,
  multiply,
  range,
  reshape,
  scalar,
  softmax,
  subtract,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { gatherHeads, splitHeads } from './heads.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import type { AttentionTerms } from './terms.js';

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
 * What exp(a)/Σexp(a) over the visible keys is a softmax of. Hidden ones are −∞ and get exactly nothing, which no finite
 * number would do for every a. In a row that sees no key all are 0 instead, so that it stays a number, and `seen` says to
 * take zeros for it; absent where each row sees some key. a [batch, heads, queries, keys].
 */
function shownWeights(
  logWeights: Tensor,
  visible: Tensor<'bool'> | undefined,
  seen: Tensor<'bool'> | undefined,
): Tensor {
  if (visible === undefined) return logWeights;
  const nothing = scalar(Number.NEGATIVE_INFINITY);
  return where(visible, logWeights, seen === undefined ? nothing : where(seen, nothing, scalar(0)));
}

/** exp(a)/Σexp(a) over the visible keys, with zeros for the rows that see none. */
export function visibleSoftmax(logWeights: Tensor, visible: Tensor<'bool'> | undefined): Tensor {
  if (visible === undefined) return softmax(logWeights);
  const seen = seesSome(visible);
  return where(seen, softmax(shownWeights(logWeights, visible, seen)), scalar(0));
}

/**
 * The means Σ e^a v/Σ e^a of values [batch, keyHeads, keys, dim] by a [batch, heads, rows, keys], and the logarithms of Σ e^a,
 * [batch, heads, rows, 1]. Means are [batch, keyHeads, group·rows, dim].
 */
export function softmaxMean(logWeights: Tensor, value: Tensor, group: number): { mean: Tensor; logScale: Tensor } {
  const weights = softmax(logWeights);
  // log Σ exp(a) = max a − log max softmax(a) reads the softmax that there is, which is also its gradient.
  const total = subtract(max(logWeights, -1, true), log(max(weights, -1, true)));
  const [logScale] = withGradient([logWeights], [total], ([g]) => [multiply(weights, g!)]);
  return { mean: matmul(gatherHeads(weights, group), value), logScale: logScale! };
}

/**
 * The terms of attention by logarithms of weights [batch, heads, queries, keys]: the mean of the values [batch, keyHeads,
 * keys, dim] that each query sees, and the logarithm of the sum of its weights.
 */
export function meanOf(
  logWeights: Tensor,
  keys: {
    readonly value: Tensor;
    readonly visible: Tensor<'bool'> | undefined;
    /** Absent where each row sees some key. */
    readonly seen: Tensor<'bool'> | undefined;
    readonly group: number;
  },
): AttentionTerms {
  const { value, visible, seen, group } = keys;
  const { mean, logScale } = softmaxMean(shownWeights(logWeights, visible, seen), value, group);
  return {
    numerator: swapHeads(splitHeads(mean, group, logWeights.dim(2))),
    denominator: undefined,
    logScale: swapHeads(logScale),
    visible: seen && swapHeads(seen),
  };
}

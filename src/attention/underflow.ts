/**
 * Whether float32 lost weights that count: what decides between a fast form of attention and its form in log space.
 *
 * The fast forms add up weights q_f k_jf w_j of a feature f and a key j, with values q, k in [0, 1] of the features and
 * w_j ≤ 2⁵⁸, the headroom, the key's own weight. What is below 2⁻¹²⁶ loses digits, or all of them where an engine flushes
 * it to zero: q_f, k_jf or their product, so that a row loses at most 3·features·2⁻¹²⁶·Σⱼ w_j over the keys that it sees.
 * Its denominator is trusted where this
 * is at most 2⁻²⁰ of it, the size of a few roundings of an exponent. The bound is sharp in its order alone: a row that
 * passes has mostly lost nothing.
 *
 * A weight w_j that is itself flushed loses less than 2⁻¹²⁶, and an initial state, whose features have weights of at
 * most 1 before the headroom, at most 2⁻⁶⁸; `smallest` holds both below 2⁻²⁰. It also keeps gradients, which carry the
 * inverse of a denominator beside a weight, below 2¹⁰⁶ times the values and their gradients.
 */
import {
  abs,
  and,
  less,
  lessOrEqual,
  max,
  maximum,
  multiply,
  not,
  scalar,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import { inverseOf } from './terms.js';

const flushed = 2 ** -126;
const tolerated = 2 ** -20;
const smallest = 2 ** -48;
const largest = 2 ** 127;

/** True where x has no NaN and no infinity, and its sum none either: bool scalar. */
function isAllFinite(x: Tensor): Tensor<'bool'> {
  return less(abs(sum(x)), largest);
}

export interface AttentionRows {
  /** [..., 1] */
  readonly denominator: Tensor;
  /** Σⱼ w_j over the keys that a row sees, [..., 1]. */
  readonly seen: Tensor;
  /** False for rows that see no key, which lose nothing; [..., 1]. */
  readonly visible: Tensor<'bool'> | undefined;
  /** What is not finite where a value is not: the numerators, or sums that hold all values. */
  readonly sums: Tensor;
}

/** Whether some row of attention over so many features lost weights, or is not finite: bool scalar. */
export function underflows({ denominator, seen, visible, sums }: AttentionRows, features: number): Tensor<'bool'> {
  const inverse = inverseOf(denominator, visible);
  const needed = maximum(multiply(seen, (3 * features * flushed) / tolerated), smallest);
  const share = multiply(inverse, needed); // at most 1 where a denominator is as large as it has to be
  const counted = visible === undefined ? share : where(visible, share, scalar(0));
  return not(and(lessOrEqual(max(counted), 1), and(isAllFinite(inverse), isAllFinite(sums))));
}

/**
 * Whether some feature of a state [batch, heads, features, dim + 1] lost weights of keys: its denominators [..., 1], at
 * one scale per head, add up to at least the weights of all keys. A state that has read nothing lost nothing.
 */
export function stateUnderflows(state: Tensor, denominator: Tensor): Tensor<'bool'> {
  const needed = multiply(sum(denominator, 2, true), flushed / tolerated);
  return not(and(lessOrEqual(max(subtract(needed, denominator)), 0), isAllFinite(state)));
}

/**
 * Exact attention of short sequences and FAVOR+ of longer ones: which it is, the length decides where the graph runs, or before
 * where it is known. So no length is slower than exact attention by the engine's own op.
 */
import { type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  cast,
  conditional,
  exactSequenceAttention,
  less,
  max,
  pullback,
  reshape,
  scalar,
  size,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { bidirectionalAttention } from './bidirectional.js';
import { groupOf, repeatTokenHeads } from './heads.js';
import { type AttentionInputs, checkInputs, withoutHidden } from './layout.js';

/** Exact attention by the engine's op; zeros where a query sees no key. */
function exact({ query, key, value, keyMask }: AttentionInputs): Tensor {
  const group = groupOf(query, key);
  const flat = (x: Tensor) => {
    const [batch, length, heads, dim] = x.shape as [Dim, Dim, Dim, Dim];
    return reshape(x, [batch, length, multiplyDims(heads, dim)]);
  };
  const ofGroup = (x: Tensor) => flat(repeatTokenHeads(x, group));
  const tokens = { query: flat(query), key: ofGroup(key), value: ofGroup(value) };
  const mask = keyMask && cast(keyMask, 'int32');
  const mean = reshape(exactSequenceAttention(tokens, query.staticDim(2), mask), query.shape);
  if (mask === undefined) return mean;
  return where(reshape(less(scalar(0, 'int32'), max(mask, 1)), [query.dim(0), 1, 1, 1]), mean, scalar(0));
}

/**
 * Attention of every query to every key, [batch, queries, heads, dim]: exact softmax attention of up to `longest` keys, and
 * through the feature map of more. Values are as wide as keys.
 *
 * @throws as `bidirectionalAttention`.
 */
export function attentionExactUpTo(longest: number, given: AttentionInputs, features: FeatureMap): Tensor {
  checkInputs('attentionExactUpTo', given, false);
  const keys = given.key.dim(1);
  if (typeof keys === 'number') {
    return keys <= longest ? exact(withoutHidden(given)) : bidirectionalAttention(given, features);
  }
  const inputs = withoutHidden(given);
  const isShort = less(size(keys, 'int32'), scalar(longest + 1, 'int32'));
  const leaves = [inputs.query, inputs.key, inputs.value, ...(features.learned ?? [])];
  const output = () => [exact(inputs)];
  const estimate = () => [bidirectionalAttention(inputs, features)];
  return withGradient(leaves, conditional(isShort, output, estimate), ([g]) => {
    // Each is computed again: a branch keeps nothing of what it computed but its result.
    const back = (branch: () => readonly Tensor[]) => () =>
      pullback([[branch()[0]!, g!]], leaves).map((found, at) => found ?? zerosLike(leaves[at]!));
    return conditional(isShort, back(output), back(estimate));
  })[0]!;
}

function zerosLike(x: Tensor): Tensor {
  return broadcastTo(scalar(0), x.shape);
}

/**
 * Exact attention of short sequences and FAVOR+ of longer ones: which it is, the length decides where the graph runs, or before
 * where it is known. So no length is slower than exact attention by the engine's own op.
 */
import type { Dtype } from '../base/array.js';
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
  slice,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { bidirectionalAttention } from './bidirectional.js';
import { groupOf, repeatTokenHeads } from './heads.js';
import { type AttentionInputs, checkInputs, withoutHidden } from './layout.js';
import { readCounts } from './window-state.js';

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

/** Through the map where a row has more than `longest` keys up to its last real one; as if they were not there, padding counts for nothing. */
function estimate(longest: number, inputs: AttentionInputs, features: FeatureMap): Tensor {
  const output = bidirectionalAttention(inputs, features);
  const counts = readCounts(inputs);
  if (counts === undefined) return output;
  const first = <D extends Dtype>(x: Tensor<D>) => slice(x, 1, 0, longest);
  const { query, key, value, keyMask } = inputs;
  const short = exact({ query, key: first(key), value: first(value), keyMask: first(keyMask!) });
  return where(reshape(less(counts, scalar(longest + 1, 'int32')), [query.dim(0), 1, 1, 1]), short, output);
}

/**
 * Attention of every query to every key, [batch, queries, heads, dim]: exact softmax attention of rows of up to `longest` keys,
 * and through the feature map of rows of more. Values are as wide as keys.
 *
 * @throws as `bidirectionalAttention`.
 */
export function attentionExactUpTo(longest: number, given: AttentionInputs, features: FeatureMap): Tensor {
  checkInputs('attentionExactUpTo', given, false);
  const inputs = withoutHidden(given);
  const keys = inputs.key.dim(1);
  const branches = [() => exact(inputs), () => estimate(longest, inputs, features)] as const;
  if (typeof keys === 'number') return branches[keys <= longest ? 0 : 1]();
  const isShort = less(size(keys, 'int32'), scalar(longest + 1, 'int32'));
  const leaves = [inputs.query, inputs.key, inputs.value, ...(features.learned ?? [])];
  const [whenShort, whenLong] = branches.map((branch) => () => [branch()] as const);
  return withGradient(leaves, conditional(isShort, whenShort!, whenLong!), ([g]) => {
    // Each is computed again: a branch keeps nothing of what it computed but its result.
    const [ofShort, ofLong] = branches.map((branch) => () => {
      const found = pullback([[branch(), g!]], leaves);
      return leaves.map((leaf, at) => found[at] ?? broadcastTo(scalar(0), leaf.shape));
    });
    return conditional(isShort, ofShort!, ofLong!);
  })[0]!;
}

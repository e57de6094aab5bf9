/**
 * Memory tokens: learned vectors that stand before the tokens of every text (Burtsev et al. 2020, arXiv 2006.11527), so that all
 * tokens may look at them. They go through all layers, and what is made of them is dropped before the head. They have the first
 * places of rotary positions and none of those that are added to embeddings, which count tokens alone.
 *
 * Without a state they are set before the tokens. A state begins with them: they are read into it before the first token of
 * each row, so that reading on is reading at once.
 */
import type { Dim } from '../base/dimension.js';
import type { ParameterSpec, StateSpec } from '../base/layout.js';
import { flattenTree, leavesOf } from '../base/tree.js';
import { type EmbeddingParams, embeddingLayout, type Stack, type TokenContext, type Weights } from '../blocks/index.js';
import {
  type AnyTensor,
  broadcastTo,
  cast,
  concatenate,
  conditional,
  equal,
  less,
  max,
  multiply,
  reshape,
  type Tensor,
} from '../graph/index.js';
import type { TrunkConfig } from './trunk-options.js';

/** Their vectors [count, dim], none where there are none. */
export function memoryLayout(config: TrunkConfig): EmbeddingParams<ParameterSpec> | undefined {
  const { memoryTokens, dim, embeddingDeviation } = config;
  return memoryTokens === 0 ? undefined : embeddingLayout(memoryTokens, dim, embeddingDeviation);
}

/** Their vectors for each row: [batch, count, dim]. */
export function memoryRows({ weight }: EmbeddingParams, batch: Dim): Tensor {
  const [count, dim] = weight.shape as [number, number];
  return broadcastTo(reshape(weight, [1, count, dim]), [batch, count, dim]);
}

/** x [batch, length, dim] with memory tokens before it. */
export function afterMemory(memory: EmbeddingParams, x: Tensor): Tensor {
  return concatenate([memoryRows(memory, x.dim(0)), x], 1);
}

/** What a state is begun with. */
export interface Beginning {
  readonly stack: Stack;
  readonly weights: Weights<readonly object[], readonly object[]>;
  /** Memory tokens of each row, padded: [batch, whole, dim]. */
  rows(): Tensor;
  /** What is known of them, where `lengths` [batch] of them are real. */
  context(lengths: Tensor<'int32'>): TokenContext;
  /** Tokens read before, and those of this pass: [batch] int32. */
  readonly position: Tensor<'int32'>;
  readonly counts: Tensor<'int32'>;
}

/**
 * The state of blocks with the memory tokens in it, for rows that read their first token now. What is kept of a growing state
 * has one length for all rows, and begins with no rows at all: only such a state takes them.
 */
export function begunState(state: readonly object[], count: number, beginning: Beginning): readonly object[] {
  const { stack, weights, rows, context, position, counts } = beginning;
  const layout = new Map(leavesOf<object, StateSpec>(stack.state(position.dim(0))));
  const past = leavesOf<object, Tensor>(state).flatMap(([path, leaf]) => {
    const axis = layout.get(path)?.growing;
    return axis === undefined ? [] : [leaf.dim(axis)];
  });
  const isFirst = multiply(cast(equal(position, 0), 'int32'), cast(less(0, counts), 'int32')); // [batch]
  const first = () => stack.apply(weights, rows(), context(multiply(isFirst, count)), { state }).state;
  if (past.length > 0) return past.every((length) => length === 0) ? first() : state;
  const flat = flattenTree<object>(state);
  const begun = conditional(
    less(0, max(cast(isFirst, 'float32'), 0)),
    () => flattenTree<object>(first()).leaves as readonly AnyTensor[],
    () => flat.leaves as readonly AnyTensor[],
  );
  return flat.restore(begun) as readonly object[];
}

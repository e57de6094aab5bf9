/** Pooling: one vector for each text from the hidden layers of its tokens. Padding counts nothing. */
import type * as z from 'zod';
import type { Dim } from '../base/dimension.js';
import { filled, type ParameterSpec } from '../base/layout.js';
import { maskOfLengths } from '../blocks/index.js';
import {
  broadcastTo,
  cast,
  divide,
  equal,
  matmul,
  maximum,
  multiply,
  range,
  reshape,
  scalar,
  size,
  slice,
  softmax,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import { attentionKinds, looksNowhere, type TrunkConfig } from './trunk-options.js';

/** A batch of texts of different lengths. */
export interface PooledInputs {
  /** [batch, length, dim] */
  readonly hidden: Tensor;
  /** How many tokens of each row are real, [batch] int32; all unless given. */
  readonly lengths?: Tensor<'int32'> | undefined;
}

export interface AttentionPoolingParams<T = Tensor> {
  /** [dim, 1] */
  readonly query: T;
}

/** The query begins at zero, so that attention begins as the mean. */
export function attentionPoolingLayout(dim: number): AttentionPoolingParams<ParameterSpec> {
  return { query: filled([dim, 1], 0) };
}

/** Poolings without parameters by name. */
export const poolings = { mean: meanPooling, last: lastPooling, first: firstPooling } as const;

/** Pooling by a name; `params` are those of attention. */
export function poolBy(
  name: keyof typeof poolings | 'attention',
  params: AttentionPoolingParams | undefined,
  inputs: PooledInputs,
): Tensor {
  if (name !== 'attention') return poolings[name](inputs);
  return attentionPooling(params as AttentionPoolingParams, inputs);
}

/** The mean of the real tokens: [batch, dim]; zeros for a text without tokens. */
export function meanPooling({ hidden, lengths }: PooledInputs): Tensor {
  const [batch, length] = hidden.shape as [Dim, Dim];
  const counts = cast(maximum(countsOf(hidden, lengths), 1), 'float32');
  const total = sum(realTokens(hidden, maskOfLengths(lengths, length)), 1);
  return divide(total, reshape(counts, [batch, 1]));
}

/** The first token: [batch, dim]. */
export function firstPooling({ hidden }: PooledInputs): Tensor {
  const [batch, , dim] = hidden.shape as [Dim, Dim, Dim];
  return reshape(slice(hidden, 1, 0, 1), [batch, dim]);
}

/** The last real token: [batch, dim]; zeros for a text without tokens. */
export function lastPooling({ hidden, lengths }: PooledInputs): Tensor {
  const [batch, length] = hidden.shape as [Dim, Dim];
  const last = reshape(subtract(countsOf(hidden, lengths), 1), [batch, 1]);
  const isLast = reshape(equal(range(length), last), [batch, length, 1]);
  return sum(where(isLast, hidden, scalar(0)), 1);
}

/** Σ softmax(hidden·query/√dim)·hidden over the real tokens: [batch, dim]; zeros for a text without tokens. */
export function attentionPooling({ query }: AttentionPoolingParams, { hidden, lengths }: PooledInputs): Tensor {
  const [batch, length, dim] = hidden.shape as [Dim, Dim, number];
  const mask = maskOfLengths(lengths, length);
  const scores = reshape(matmul(hidden, query, { scale: dim ** -0.5 }), [batch, length]);
  const weights = softmax(mask === undefined ? scores : where(mask, scores, scalar(-1e30)));
  const column = reshape(weights, [batch, length, 1]);
  return sum(multiply(realTokens(hidden, mask), column), 1);
}

function realTokens(hidden: Tensor, mask: Tensor<'bool'> | undefined): Tensor {
  const [batch, length] = hidden.shape as [Dim, Dim];
  return mask === undefined ? hidden : where(reshape(mask, [batch, length, 1]), hidden, scalar(0));
}

function countsOf(hidden: Tensor, lengths: Tensor<'int32'> | undefined): Tensor<'int32'> {
  const [batch, length] = hidden.shape as [Dim, Dim];
  return lengths ?? broadcastTo(size(length, 'int32'), [batch]);
}

/** Checks of a model that pools one token that this looks at the others. */
export function checkPooling(
  config: Pick<TrunkConfig, 'attention'> & { readonly pooling: string },
  context: z.RefinementCtx,
): void {
  if (!['first', 'class-token'].includes(config.pooling) || !looksNowhere(config)) return;
  const got = `${config.pooling} with attention: '${attentionKinds(config)}'`;
  const message = `expected mean or attention where no token looks at another, got ${got}`;
  context.addIssue({ code: 'custom', path: ['pooling'], message });
}

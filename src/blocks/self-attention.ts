/** Causal self-attention over several heads: projections to queries, keys and values, positions, attention, output. */
import {
  type AttentionState,
  causalAttention,
  type DeferredState,
  deferredAttention,
  type ExactState,
  exactAttention,
  type RecentTokens,
  recurrentAttention,
} from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import { internalError } from '../base/errors.js';
import type { FeatureMap, LearnedFeatureParams } from '../features/index.js';
import { add, multiply, reshape, rotary, type Tensor } from '../graph/index.js';
import { type LinearParams, linear, linearLayout } from './linear.js';
import { diagonal, type ParameterSpec } from './parameter.js';
import type { RotaryAngles } from './position.js';

export interface SelfAttentionParams<T = Tensor> {
  /** [dim, heads·headDim] */
  readonly query: LinearParams<T>;
  readonly key: LinearParams<T>;
  readonly value: LinearParams<T>;
  /** [heads·headDim, dim] */
  readonly output: LinearParams<T>;
  /** Of maps that learn. */
  readonly features?: LearnedFeatureParams<T>;
}

/** The rows that attention compares, for statistics and pictures: [batch, length, heads, headDim]. */
export interface AttendedRows {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
}

export interface LearnedFeatureSizes {
  readonly heads: number;
  readonly headDim: number;
}

/** Attention that passes its values on keeps nothing. After a deferred state there is the token that was read, alone. */
export type SelfAttentionState<T = Tensor> =
  | AttentionState<T>
  | DeferredState<T>
  | RecentTokens<T>
  | ExactState<T>
  | Readonly<Record<string, never>>;

export interface SelfAttentionOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly chunk: number;
  /** none: the values pass through, at the cost of all that is not attention (the paper's X). */
  readonly attention: 'favor+' | 'softmax' | 'none';
  /** Of linear attention. */
  readonly features?: FeatureMap;
  /** [batch, length] integers, for features that use positions. */
  readonly tokenPositions?: Tensor;
  readonly angles?: RotaryAngles;
  /** [batch, length] */
  readonly keyMask?: Tensor;
  readonly state?: SelfAttentionState;
}

export function selfAttentionLayout(
  dim: number,
  inner: number,
  outputGain: number,
  learned?: LearnedFeatureSizes,
): SelfAttentionParams<ParameterSpec> {
  const branch = linearLayout(dim, inner, { bias: false });
  const output = linearLayout(inner, dim, { gain: outputGain });
  const layout = { query: branch, key: branch, value: branch, output };
  if (learned === undefined) return layout;
  const weight = diagonal([learned.heads, learned.headDim, learned.headDim], 2);
  return { ...layout, features: { query: weight, key: weight } };
}

function isExact(state: SelfAttentionState): state is ExactState {
  return 'key' in state;
}

function isLinear(state: SelfAttentionState): state is AttentionState | DeferredState {
  return 'sum' in state;
}

/** The values. Queries and keys are computed and add nothing, so that only attention itself is left out. */
function passValues({ query, key, value }: { query: Tensor; key: Tensor; value: Tensor }): Tensor {
  return add(value, multiply(add(query, key), 0));
}

/** x [batch, length, dim] → the output [batch, length, dim] and the state after the last token. */
export function selfAttention(
  params: SelfAttentionParams,
  x: Tensor,
  { heads, headDim, chunk, attention, features, tokenPositions, angles, keyMask, state }: SelfAttentionOptions,
): { output: Tensor; state: SelfAttentionState; attended: AttendedRows } {
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const split = (y: Tensor) => reshape(y, [batch, length, heads, headDim]);
  const turn = (y: Tensor) => (angles === undefined ? y : rotary(y, angles.cosine, angles.sine, heads));
  const inputs = {
    query: split(turn(linear(params.query, x))),
    key: split(turn(linear(params.key, x))),
    value: split(linear(params.value, x)),
    ...(keyMask === undefined ? {} : { keyMask }),
    ...(tokenPositions === undefined ? {} : { queryPosition: tokenPositions, keyPosition: tokenPositions }),
  };
  const attended = attend();
  const joined = reshape(attended.output, [batch, length, heads * headDim]);
  const { query, key, value } = inputs;
  return { output: linear(params.output, joined), state: attended.state, attended: { query, key, value } };

  function attend(): { output: Tensor; state: SelfAttentionState } {
    if (attention === 'none') return { output: passValues(inputs), state: {} };
    if (attention === 'softmax') {
      if (state !== undefined && !isExact(state)) throw internalError('exact attention was given a linear state');
      return exactAttention(inputs, { isCausal: true, ...(state === undefined ? {} : { state }) });
    }
    if (features === undefined) throw internalError('linear attention was given no features');
    if (state !== undefined && !isLinear(state)) throw internalError('linear attention was given another state');
    if (state !== undefined && 'recent' in state) return deferredAttention(inputs, features, state);
    if (state !== undefined && length === 1) return recurrentAttention(inputs, features, state);
    return causalAttention(inputs, features, { chunk, ...(state === undefined ? {} : { state }) });
  }
}

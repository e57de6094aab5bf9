/** Causal self-attention over several heads: projections to queries, keys and values, positions, attention, output. */
import {
  type AttentionInputs,
  type AttentionState,
  causalAttention,
  type ExactState,
  exactAttention,
  recurrentAttention,
} from '../attention/index.js';
import type { Dim } from '../base/dimension.js';
import { internalError } from '../base/errors.js';
import { positiveFeatures } from '../features/index.js';
import { reshape, rotary, type Tensor } from '../graph/index.js';
import { type LinearParams, linear, linearLayout } from './linear.js';
import type { ParameterSpec } from './parameter.js';
import type { RotaryAngles } from './position.js';

export interface SelfAttentionParams<T = Tensor> {
  /** [dim, heads·headDim] */
  readonly query: LinearParams<T>;
  readonly key: LinearParams<T>;
  readonly value: LinearParams<T>;
  /** [heads·headDim, dim] */
  readonly output: LinearParams<T>;
}

export type SelfAttentionState<T = Tensor> = AttentionState<T> | ExactState<T>;

export interface SelfAttentionOptions {
  readonly heads: number;
  readonly headDim: number;
  readonly chunk: number;
  /** Ω [features, headDim], shared by the heads; exact softmax attention without one. */
  readonly projection?: Tensor;
  readonly angles?: RotaryAngles;
  /** [batch, length] */
  readonly keyMask?: Tensor;
  readonly state?: SelfAttentionState;
  /** Is shown what goes into attention, positions included, while the graph is written. */
  readonly observe?: (inputs: AttentionInputs) => void;
}

export function selfAttentionLayout(
  dim: number,
  inner: number,
  outputGain: number,
): SelfAttentionParams<ParameterSpec> {
  const branch = linearLayout(dim, inner, { bias: false });
  return { query: branch, key: branch, value: branch, output: linearLayout(inner, dim, { gain: outputGain }) };
}

function isExact(state: SelfAttentionState): state is ExactState {
  return 'key' in state;
}

/** x [batch, length, dim] → the output [batch, length, dim] and the state after the last token. */
export function selfAttention(
  params: SelfAttentionParams,
  x: Tensor,
  { heads, headDim, chunk, projection, angles, keyMask, state, observe }: SelfAttentionOptions,
): { output: Tensor; state: SelfAttentionState } {
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const split = (y: Tensor) => reshape(y, [batch, length, heads, headDim]);
  const turn = (y: Tensor) => (angles === undefined ? y : rotary(y, angles.cosine, angles.sine, heads));
  const inputs = {
    query: split(turn(linear(params.query, x))),
    key: split(turn(linear(params.key, x))),
    value: split(linear(params.value, x)),
    ...(keyMask === undefined ? {} : { keyMask }),
  };
  observe?.(inputs);
  const attended = attend();
  const joined = reshape(attended.output, [batch, length, heads * headDim]);
  return { output: linear(params.output, joined), state: attended.state };

  function attend(): { output: Tensor; state: SelfAttentionState } {
    if (projection === undefined) {
      if (state !== undefined && !isExact(state)) throw internalError('exact attention was given a linear state');
      return exactAttention(inputs, { isCausal: true, ...(state === undefined ? {} : { state }) });
    }
    if (state !== undefined && isExact(state)) throw internalError('linear attention was given an exact state');
    const features = positiveFeatures(projection);
    if (state !== undefined && length === 1) return recurrentAttention(inputs, features, state);
    return causalAttention(inputs, features, { chunk, ...(state === undefined ? {} : { state }) });
  }
}

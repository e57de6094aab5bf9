/** The pre-norm residual block: x + attention(shift(norm(x))), then x + feedForward(shift(norm(x))). */
import { add, scope, slice, type Tensor } from '../graph/index.js';
import { type DropoutKey, dropout } from './dropout.js';
import { type FeedForwardParams, feedForward, feedForwardLayout } from './feed-forward.js';
import { applyLayerNorm, type LayerNormParams, layerNormLayout } from './normalization.js';
import type { ParameterSpec } from './parameter.js';
import {
  type AttendedRows,
  type LearnedFeatureSizes,
  type SelfAttentionOptions,
  type SelfAttentionParams,
  type SelfAttentionState,
  selfAttention,
  selfAttentionLayout,
} from './self-attention.js';
import { shiftTokens, shiftWidth } from './token-shift.js';

export interface BlockParams<T = Tensor> {
  readonly attentionNorm: LayerNormParams<T>;
  readonly attention: SelfAttentionParams<T>;
  readonly feedForwardNorm: LayerNormParams<T>;
  readonly feedForward: FeedForwardParams<T>;
}

/** What a block keeps of the tokens before: its attention's state and the last shifted channels of each branch. */
export interface BlockState<T = Tensor> {
  readonly attention: SelfAttentionState<T>;
  /** [batch, 1, ⌊dim/2⌋], where tokens are shifted. */
  readonly attentionShift?: T;
  readonly feedForwardShift?: T;
}

export interface BlockSizes {
  readonly dim: number;
  /** heads·headDim */
  readonly inner: number;
  readonly hidden: number;
  /** Where the attention learns its features: their heads. */
  readonly learnedFeatures?: LearnedFeatureSizes;
  /** Of the layers that write to the residual stream: 1/√(2·depth) keeps its variance level. */
  readonly outputGain: number;
}

export interface BlockOptions extends Omit<SelfAttentionOptions, 'state'> {
  /** The model path of the block, which tells its dropout from that of others. */
  readonly path: string;
  readonly tokenShift: boolean;
  readonly attentionDropout: number;
  readonly feedForwardDropout: number;
  readonly dropoutKey?: DropoutKey;
  readonly state?: BlockState;
  /** Takes the last real token of each row: [batch, length, ·] → [batch, 1, ·]. */
  readonly takeLast: (x: Tensor, before?: Tensor) => Tensor;
}

export function blockLayout({
  dim,
  inner,
  hidden,
  outputGain,
  learnedFeatures,
}: BlockSizes): BlockParams<ParameterSpec> {
  return {
    attentionNorm: layerNormLayout(dim),
    attention: selfAttentionLayout(dim, inner, outputGain, learnedFeatures),
    feedForwardNorm: layerNormLayout(dim),
    feedForward: feedForwardLayout(dim, hidden, outputGain),
  };
}

/** x [batch, length, dim] → the output [batch, length, dim] and the next state. */
export function block(
  params: BlockParams,
  x: Tensor,
  { path, tokenShift, attentionDropout, feedForwardDropout, dropoutKey, state, takeLast, ...options }: BlockOptions,
): { output: Tensor; state: BlockState; attended: AttendedRows } {
  const half = shiftWidth(x.staticDim(-1));
  const shift = (y: Tensor, before: Tensor | undefined) => {
    if (!tokenShift) return { shifted: y };
    return { shifted: shiftTokens(y, before), last: takeLast(slice(y, -1, 0, half), before) };
  };
  const attended = scope('attention', () => {
    const { shifted, last } = shift(applyLayerNorm(params.attentionNorm, x), state?.attentionShift);
    const result = selfAttention(params.attention, shifted, {
      ...options,
      ...(state === undefined ? {} : { state: state.attention }),
    });
    const output = dropout(result.output, attentionDropout, `${path}.attention`, dropoutKey);
    return { output: add(x, output), state: result.state, attended: result.attended, last };
  });
  const fed = scope('feedForward', () => {
    const { shifted, last } = shift(applyLayerNorm(params.feedForwardNorm, attended.output), state?.feedForwardShift);
    const output = feedForward(params.feedForward, shifted);
    return {
      output: add(attended.output, dropout(output, feedForwardDropout, `${path}.feedForward`, dropoutKey)),
      last,
    };
  });
  return {
    output: fed.output,
    attended: attended.attended,
    state: {
      attention: attended.state,
      ...(attended.last === undefined ? {} : { attentionShift: attended.last }),
      ...(fed.last === undefined ? {} : { feedForwardShift: fed.last }),
    },
  };
}

/** The position-wise feed-forward layer: GELU(xW₁ + b₁)W₂ + b₂. */
import type { ParameterSpec } from '../base/layout.js';
import { gelu, type Tensor } from '../graph/index.js';
import type { Branch } from './branch.js';
import { type LinearParams, linear, linearLayout } from './linear.js';

export interface FeedForwardParams<T = Tensor> {
  /** [dim, hidden] */
  readonly expand: LinearParams<T>;
  /** [hidden, dim] */
  readonly contract: LinearParams<T>;
}

export function feedForwardLayout(dim: number, hidden: number, outputGain: number): FeedForwardParams<ParameterSpec> {
  return { expand: linearLayout(dim, hidden), contract: linearLayout(hidden, dim, { gain: outputGain }) };
}

/** x [..., dim] → [..., dim] */
export function feedForward({ expand, contract }: FeedForwardParams, x: Tensor): Tensor {
  return linear(contract, gelu(linear(expand, x)));
}

/** The layer as a branch, which keeps nothing of the tokens before. */
export function feedForwardBranch(
  dim: number,
  hidden: number,
  outputGain: number,
): Branch<FeedForwardParams, Record<never, never>, Record<never, never>> {
  return {
    params: feedForwardLayout(dim, hidden, outputGain),
    buffers: {},
    state: () => ({}),
    apply: ({ params }, x) => ({ output: feedForward(params, x), state: {} }),
  };
}

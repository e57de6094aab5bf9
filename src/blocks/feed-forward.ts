/** The position-wise feed-forward layer: GELU(xW₁ + b₁)W₂ + b₂. */
import { gelu, type Tensor } from '../graph/index.js';
import { type LinearParams, linear, linearLayout } from './linear.js';
import type { ParameterSpec } from './parameter.js';

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

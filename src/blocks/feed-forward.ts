/** The position-wise feed-forward layer: GELU(xW₁ + b₁)W₂ + b₂. */
import type { HostTensor } from '../base/array.js';
import type { Random } from '../base/random.js';
import { gelu, type Tensor } from '../graph/index.js';
import { initLinear, type LinearParams, linear } from './linear.js';

export interface FeedForwardParams<T = Tensor> {
  /** [dim, hidden] */
  readonly expand: LinearParams<T>;
  /** [hidden, dim] */
  readonly contract: LinearParams<T>;
}

export function initFeedForward(
  random: Random,
  dim: number,
  hidden: number,
  outputGain: number,
): FeedForwardParams<HostTensor> {
  return {
    expand: initLinear(random.split('expand'), dim, hidden),
    contract: initLinear(random.split('contract'), hidden, dim, { gain: outputGain }),
  };
}

/** x [..., dim] → [..., dim] */
export function feedForward({ expand, contract }: FeedForwardParams, x: Tensor): Tensor {
  return linear(contract, gelu(linear(expand, x)));
}

/** Layer normalisation with its parameters. */
import { float32, type HostTensor, zeros } from '../base/array.js';
import { layerNorm, type Tensor } from '../graph/index.js';

export interface LayerNormParams<T = Tensor> {
  /** [dim] */
  readonly weight: T;
  /** [dim] */
  readonly bias: T;
}

export function initLayerNorm(dim: number): LayerNormParams<HostTensor> {
  return { weight: float32([dim], new Float32Array(dim).fill(1)), bias: zeros('float32', [dim]) };
}

/** x [..., dim] → [..., dim] */
export function applyLayerNorm({ weight, bias }: LayerNormParams, x: Tensor): Tensor {
  return layerNorm(x, weight, bias);
}

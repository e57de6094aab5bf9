/** Layer normalisation with its parameters. */

import { filled, type ParameterSpec } from '../base/layout.js';
import { layerNorm, type Tensor } from '../graph/index.js';

export interface LayerNormParams<T = Tensor> {
  /** [dim] */
  readonly weight: T;
  /** [dim] */
  readonly bias: T;
}

export function layerNormLayout(dim: number): LayerNormParams<ParameterSpec> {
  return { weight: filled([dim], 1), bias: filled([dim], 0) };
}

/** x [..., dim] → [..., dim] */
export function applyLayerNorm({ weight, bias }: LayerNormParams, x: Tensor): Tensor {
  return layerNorm(x, weight, bias);
}

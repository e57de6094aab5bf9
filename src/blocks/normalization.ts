/**
 * Normalisation with its parameters: LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) with a weight for each
 * channel, and ScaleNorm (Nguyen & Salazar 2019) with one weight for all: g·x/‖x‖, whose g is counted in √dim and begins
 * at 1, as the paper has it.
 */

import { filled, type ParameterSpec } from '../base/layout.js';
import { broadcastTo, layerNorm, rmsNorm, type Tensor } from '../graph/index.js';

/** The norms: LayerNorm, RMSNorm and ScaleNorm. */
export type NormKind = 'layer' | 'rms' | 'scale';

/** What a norm learns. */
export interface NormParams<T = Tensor> {
  /** [dim], or [1] for ScaleNorm. */
  readonly weight: T;
  /** [dim], of LayerNorm alone. */
  readonly bias?: T | undefined;
}

/** The layout of a norm over rows of width `dim`. */
export function normLayout(kind: NormKind, dim: number): NormParams<ParameterSpec> {
  const weight = filled([kind === 'scale' ? 1 : dim], 1);
  return kind === 'layer' ? { weight, bias: filled([dim], 0) } : { weight };
}

/** x [..., dim] → [..., dim]; `epsilon` is added to the mean of the squares, 1e-5 unless given. */
export function applyNorm({ weight, bias }: NormParams, x: Tensor, epsilon?: number): Tensor {
  if (bias !== undefined) return layerNorm(x, weight, bias, epsilon);
  return rmsNorm(x, broadcastTo(weight, [x.dim(-1)]), epsilon);
}

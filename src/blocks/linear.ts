/** Linear layers: y = xW + b, and with a low-rank adapter (Hu et al. 2021, arXiv 2106.09685) y = xW + xAB + b. */

import { drawn, filled, type ParameterSpec } from '../base/layout.js';
import { elementCount } from '../base/shape.js';
import { add, matmul, reshape, type Tensor } from '../graph/index.js';

/** The weights of xW + b. */
export interface LinearParams<T = Tensor> {
  /** [inputs, outputs] */
  readonly weight: T;
  /** [outputs] */
  readonly bias?: T | undefined;
  /** Added to the weight; of trainings by adapters alone. */
  readonly adapter?: Adapter<T> | undefined;
}

/** A matrix [inputs, outputs] of a low rank, as a product. */
export interface Adapter<T = Tensor> {
  /** A: [inputs, rank] */
  readonly down: T;
  /** B: [rank, outputs] */
  readonly up: T;
}

/** How a linear layer begins. */
export interface LinearOptions {
  readonly bias?: boolean;
  /** The standard deviation of the weights is gain/√inputs. */
  readonly gain?: number;
}

/** The layout of a linear layer from `inputs` to `outputs` channels. */
export function linearLayout(
  inputs: number,
  outputs: number,
  { bias = true, gain = 1 }: LinearOptions = {},
): LinearParams<ParameterSpec> {
  const weight = drawn([inputs, outputs], gain / Math.sqrt(inputs));
  return bias ? { weight, bias: filled([outputs], 0) } : { weight };
}

/** x [..., inputs] → [..., outputs], as one product over all rows. */
export function linear({ weight, bias, adapter }: LinearParams, x: Tensor): Tensor {
  const rows = x.shape.slice(0, -1);
  const flat = reshape(x, [elementCount(rows), x.dim(-1)]);
  const own = matmul(flat, weight, { isDense: true });
  const product = adapter === undefined ? own : add(own, matmul(matmul(flat, adapter.down), adapter.up));
  const y = bias === undefined ? product : add(product, bias);
  return reshape(y, [...rows, weight.dim(1)]);
}

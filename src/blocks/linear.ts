/** Linear layers: y = xW + b. */

import { drawn, filled, type ParameterSpec } from '../base/layout.js';
import { elementCount } from '../base/shape.js';
import { add, matmul, reshape, type Tensor } from '../graph/index.js';

/** The weights of xW + b. */
export interface LinearParams<T = Tensor> {
  /** [inputs, outputs] */
  readonly weight: T;
  /** [outputs] */
  readonly bias?: T | undefined;
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
export function linear({ weight, bias }: LinearParams, x: Tensor): Tensor {
  const rows = x.shape.slice(0, -1);
  const product = matmul(reshape(x, [elementCount(rows), x.dim(-1)]), weight, { isDense: true });
  const y = bias === undefined ? product : add(product, bias);
  return reshape(y, [...rows, weight.dim(1)]);
}

/** Linear layers: y = xW + b. */
import { float32, type HostTensor, zeros } from '../base/array.js';
import type { Random } from '../base/random.js';
import { elementCount } from '../base/shape.js';
import { add, matmul, reshape, type Tensor } from '../graph/index.js';

export interface LinearParams<T = Tensor> {
  /** [inputs, outputs] */
  readonly weight: T;
  /** [outputs] */
  readonly bias?: T;
}

export interface LinearOptions {
  readonly bias?: boolean;
  /** The standard deviation of the weights is gain/√inputs. */
  readonly gain?: number;
}

export function initLinear(
  random: Random,
  inputs: number,
  outputs: number,
  { bias = true, gain = 1 }: LinearOptions = {},
): LinearParams<HostTensor> {
  const deviation = gain / Math.sqrt(inputs);
  const weight = float32(
    [inputs, outputs],
    random.normals(inputs * outputs).map((value) => value * deviation),
  );
  return bias ? { weight, bias: zeros('float32', [outputs]) } : { weight };
}

/** x [..., inputs] → [..., outputs], as one product over all rows. */
export function linear({ weight, bias }: LinearParams, x: Tensor): Tensor {
  const rows = x.shape.slice(0, -1);
  const product = matmul(reshape(x, [elementCount(rows), x.dim(-1)]), weight);
  const y = bias === undefined ? product : add(product, bias);
  return reshape(y, [...rows, weight.dim(1)]);
}

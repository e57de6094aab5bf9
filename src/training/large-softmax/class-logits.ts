/**
 * The logits of a large softmax: o_i = τ·cos(h, c_i) + b_i, for a hidden vector h and a class vector c_i.
 *
 * Both vectors are brought to unit length, as in Rawat et al. 2019 (section 2.1): the logits are bounded by the
 * temperature τ, and with them the variance of random features. The bias, which the paper does not have, takes the
 * frequency of a class, which a cosine cannot hold; it scales the features of the class and costs the proposal nothing.
 */
import type { HostTensor } from '../../base/array.js';
import type { Random } from '../../base/random.js';
import { drawn, filled, initialize } from '../../blocks/parameter.js';
import { add, divide, matmul, multiply, sqrt, square, sum, type Tensor, takeRows } from '../../graph/index.js';

/** The class vectors and biases: of all classes, or of those that a step touches. */
export interface ClassTable<T = Tensor> {
  /** [classes, dim] */
  readonly weight: T;
  /** [classes] */
  readonly bias: T;
}

/** Normal class vectors of length about 1, and biases of 0. */
export function initClassTable(classes: number, dim: number, random: Random): ClassTable<HostTensor<'float32'>> {
  return initialize({ weight: drawn([classes, dim], 1 / Math.sqrt(dim)), bias: filled([classes], 0) }, random);
}

/** x/|x| over the last axis; a vector of zeros stays one. */
export function unitRows(x: Tensor): Tensor {
  return divide(x, sqrt(add(sum(square(x), -1, true), 1e-12)));
}

export interface TargetLogits {
  /** Of every class in the table: [rows, classes]. */
  readonly all: Tensor;
  /** Of each row's target: [rows]. */
  readonly target: Tensor;
}

/** hidden [rows, dim], targets [rows] int32, each an index into the table. */
export function classLogits(hidden: Tensor, table: ClassTable, targets: Tensor, temperature: number): TargetLogits {
  const scaled = multiply(unitRows(hidden), temperature); // [rows, dim]
  const classes = unitRows(table.weight); // [classes, dim]
  const all = add(matmul(scaled, classes, { transposeRight: true }), table.bias); // [rows, classes]
  // Read from the vectors, not from `all`: the gradient scatters rows of dim and needs no matrix of ones and zeros.
  const cosines = sum(multiply(scaled, takeRows(classes, targets)), -1);
  const target = add(cosines, takeRows(table.bias, targets));
  return { all, target };
}

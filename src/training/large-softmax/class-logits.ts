/**
 * The logits of a large softmax: o_i = τ·ĥ·ĉ_i + b_i with x̂ = x/√(1 + |x|²), for a hidden vector h and a class vector c_i.
 *
 * Rawat et al. 2019 (section 2.1) bring both to unit length, so that logits are bounded by the temperature τ, and with
 * them the variance of random features. Here both are bounded by unit length and may be shorter: a model can start near
 * equal logits and can be unsure. The bias, which the paper does not have, takes the frequency of a class, which a
 * bounded product cannot hold; it scales the features of the class and costs the proposal nothing.
 */
import type { HostTensor } from '../../base/array.js';
import { drawn, filled, initialize } from '../../base/layout.js';
import type { Random } from '../../base/random.js';
import { add, divide, matmul, multiply, sqrt, square, sum, type Tensor, takeRows } from '../../graph/index.js';

/** The class vectors and biases: of all classes, or of those that a step touches. */
export interface ClassTable<T = Tensor> {
  /** [classes, dim] */
  readonly weight: T;
  /** [classes] */
  readonly bias: T;
}

/** Normal class vectors of length about 1/4, and biases of 0. */
export function initClassTable(classes: number, dim: number, random: Random): ClassTable<HostTensor> {
  return initialize({ weight: drawn([classes, dim], 0.25 / Math.sqrt(dim)), bias: filled([classes], 0) }, random);
}

/** x/√(1 + |x|²) over the last axis: shorter than 1. */
export function boundedRows(x: Tensor): Tensor {
  return divide(x, sqrt(add(sum(square(x), -1, true), 1)));
}

/** The logits of all classes, and those of the targets. */
export interface TargetLogits {
  /** Of every class in the table: [rows, classes]. */
  readonly all: Tensor;
  /** Of each row's target: [rows]. */
  readonly target: Tensor;
}

/** hidden [rows, dim], targets [rows] int32, each an index into the table. */
export function classLogits(
  hidden: Tensor,
  table: ClassTable,
  targets: Tensor<'int32'>,
  temperature: number,
): TargetLogits {
  const scaled = multiply(boundedRows(hidden), temperature); // [rows, dim]
  const classes = boundedRows(table.weight); // [classes, dim]
  const all = add(matmul(scaled, classes, { transposeRight: true }), table.bias); // [rows, classes]
  // Read from the vectors, not from `all`: the gradient scatters rows of dim and needs no matrix of ones and zeros.
  const cosines = sum(multiply(scaled, takeRows(classes, targets)), -1);
  const target = add(cosines, takeRows(table.bias, targets));
  return { all, target };
}

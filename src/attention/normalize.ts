/** Numerator over denominator, and the gradient of both at once. */
import { concatenate, multiply, negate, reciprocal, scalar, slice, sum, type Tensor, where } from '../graph/index.js';

/** weighted [..., dim + 1], numerator and denominator → output [..., dim]; zeros where `visible` [..., 1] is false. */
export function normalizeOutput(weighted: Tensor, visible?: Tensor): { output: Tensor; inverse: Tensor } {
  const dim = weighted.staticDim(-1) - 1;
  const denominator = slice(weighted, -1, dim);
  const plain = reciprocal(visible === undefined ? denominator : where(visible, denominator, scalar(1)));
  const inverse = visible === undefined ? plain : where(visible, plain, scalar(0));
  return { output: multiply(slice(weighted, -1, 0, dim), inverse), inverse };
}

/** The gradient of `weighted`: [g/den, −(g·output)/den], given the gradient g of the output. */
export function weightedGradient(g: Tensor, output: Tensor, inverse: Tensor): Tensor {
  const scaled = multiply(g, inverse);
  return concatenate([scaled, negate(sum(multiply(scaled, output), -1, true))], -1);
}

/** Numerator over denominator, and the gradient of both at once. */
import { concatenate, multiply, negate, reciprocal, scalar, slice, sum, type Tensor, where } from '../graph/index.js';
import { guardDenominator } from './guard.js';

export interface NormalizeOptions {
  /** [..., 1], false for rows that see no key, whose output is zeros. */
  readonly visible?: Tensor | undefined;
  /** [..., 1], the bound of the denominator, for maps that need a guard. */
  readonly mass?: Tensor | undefined;
}

export interface Normalized {
  readonly output: Tensor;
  /** 1/den [..., 1]; zero for rows that see no key. */
  readonly inverse: Tensor;
  /** Where a guarded denominator is the row's own; absent without a guard. */
  readonly isOwn: Tensor | undefined;
  /** The gradient of the weighted sums: [g/den, −(g·output)/den], given the gradient g of the output. */
  gradient(g: Tensor): Tensor;
}

/** weighted [..., dim + 1], numerator and denominator → output [..., dim]. A guarded denominator is taken as a constant. */
export function normalizeOutput(weighted: Tensor, { visible, mass }: NormalizeOptions): Normalized {
  const dim = weighted.staticDim(-1) - 1;
  const own = slice(weighted, -1, dim);
  const { guarded, isOwn } = mass === undefined ? { guarded: own, isOwn: undefined } : guardDenominator(own, mass);
  const plain = reciprocal(visible === undefined ? guarded : where(visible, guarded, scalar(1)));
  const inverse = visible === undefined ? plain : where(visible, plain, scalar(0));
  const output = multiply(slice(weighted, -1, 0, dim), inverse);
  return { output, inverse, isOwn, gradient: (g) => weightedGradient(g, output, inverse, isOwn) };
}

/** [g/den, −(g·output)/den], given the gradient g of the output; the latter zero where a denominator is not the row's own. */
export function weightedGradient(g: Tensor, output: Tensor, inverse: Tensor, isOwn?: Tensor): Tensor {
  const scaled = multiply(g, inverse);
  const gDenominator = negate(sum(multiply(scaled, output), -1, true));
  return concatenate([scaled, isOwn === undefined ? gDenominator : where(isOwn, gDenominator, scalar(0))], -1);
}

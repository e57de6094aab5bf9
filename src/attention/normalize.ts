/** Numerator over denominator, and the gradient of both at once. */
import { concatenate, multiply, negate, reciprocal, scalar, slice, sum, type Tensor, where } from '../graph/index.js';
import { guardDenominator } from './guard.js';

export interface NormalizeOptions {
  /** [..., 1], false for rows that see no key, whose output is zeros. */
  readonly visible?: Tensor<'bool'> | undefined;
  /** [..., 1], the bound of the denominator, for maps that need a guard. */
  readonly mass?: Tensor | undefined;
}

export interface Normalized {
  readonly output: Tensor;
  /** 1/den [..., 1]; zero for rows that see no key. */
  readonly inverse: Tensor;
  /** Where a guarded denominator is the row's own; absent without a guard. */
  readonly isOwn: Tensor<'bool'> | undefined;
}

/** Numerators [..., dim] over denominators [..., 1] → output [..., dim]. A guarded denominator is taken as a constant. */
export function normalize(numerator: Tensor, denominator: Tensor, { visible, mass }: NormalizeOptions): Normalized {
  const { guarded, isOwn } =
    mass === undefined ? { guarded: denominator, isOwn: undefined } : guardDenominator(denominator, mass);
  const plain = reciprocal(visible === undefined ? guarded : where(visible, guarded, scalar(1)));
  const inverse = visible === undefined ? plain : where(visible, plain, scalar(0));
  return { output: multiply(numerator, inverse), inverse, isOwn };
}

/** The same of both in one: weighted [..., dim + 1], the denominator last. */
export function normalizeOutput(weighted: Tensor, options: NormalizeOptions): Normalized {
  const dim = weighted.staticDim(-1) - 1;
  return normalize(slice(weighted, -1, 0, dim), slice(weighted, -1, dim), options);
}

export interface GradientInputs {
  /** The gradient of the output [..., dim]. */
  readonly gradient: Tensor;
  readonly output: Tensor;
  readonly inverse: Tensor;
  readonly isOwn?: Tensor<'bool'> | undefined;
}

/** g/den and −(g·output)/den: the gradients of numerator and denominator, zero where a denominator is not the row's own. */
export function normalizeGradient({ gradient, output, inverse, isOwn }: GradientInputs): {
  numerator: Tensor;
  denominator: Tensor;
} {
  const numerator = multiply(gradient, inverse);
  const denominator = negate(sum(multiply(numerator, output), -1, true));
  return { numerator, denominator: isOwn === undefined ? denominator : where(isOwn, denominator, scalar(0)) };
}

/** Both gradients in one: [..., dim + 1]. */
export function weightedGradient(inputs: GradientInputs): Tensor {
  const { numerator, denominator } = normalizeGradient(inputs);
  return concatenate([numerator, denominator], -1);
}

/**
 * What every exact kernel offers: K(x, y) on the host in float64, and for whole matrices in a graph. They are the oracle of
 * the feature maps, which estimate them as products, and of attention by a kernel (`attention/kernel.ts`).
 *
 * Kernels of dot products have a scale, z = scale·x·y; unless given it is that of attention, 1/√dim, so that a kernel and
 * the feature map of its name agree on the same rows. Kernels of differences have none.
 */
import { PerformerError } from '../base/errors.js';
import { maximum, square, sum, type Tensor, transpose } from '../graph/index.js';
import type { TaylorExpansion } from './taylor.js';
import type { Vector } from './vector.js';

/** A positive semidefinite kernel K(x, y). */
export interface Kernel {
  readonly name: string;
  /** Set when K can be zero or negative: attention guards the denominators of such kernels. */
  readonly isSigned: boolean;
  /** Set when K(x + c, y + c) = K(x, y): kernel machines take the means away from the rows of such kernels. */
  readonly isShiftInvariant?: boolean | undefined;
  /** K(x, y) in float64. Throws SHAPE unless both have one length. */
  evaluate(x: Vector, y: Vector): number;
  /** K of all pairs of rows: [..., n, dim] and [..., m, dim] → [..., n, m]. */
  matrix(x: Tensor, y: Tensor): Tensor;
  /** log K of all pairs, without overflow or loss; kernels that are always positive have it. */
  logMatrix?(x: Tensor, y: Tensor): Tensor;
  /** K(x, x) of each row: [..., n, 1]. By Cauchy–Schwarz K(x, y)² ≤ K(x, x)·K(y, y). */
  diagonal(x: Tensor): Tensor;
  /** The terms up to a degree, where K has such an expansion. Throws CONFIG for a degree that is no integer from 0. */
  taylor?(degree: number): TaylorExpansion;
}

/** What the dot product is multiplied by. */
export interface ScaleOptions {
  /** Of the dot product, above 0; 1/√dim unless given. */
  readonly scale?: number;
}

/** Throws CONFIG for a value that is not above 0 and finite. */
export function expectPositive(where: string, name: string, value: number | undefined): void {
  if (value !== undefined && !(value > 0 && value < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `${where}: expected a finite ${name} above 0, got ${value}.`);
  }
}

/** |x|² of each row, [..., n, 1]. */
export function squaredNorms(x: Tensor): Tensor {
  return sum(square(x), -1, true);
}

/** The same, never zero, so that its root has a gradient everywhere. */
export function positiveSquaredNorms(x: Tensor): Tensor {
  return maximum(squaredNorms(x), 1e-30);
}

/** [..., n, 1] → [..., 1, n] */
export function asRow(column: Tensor): Tensor {
  const { rank } = column;
  return transpose(
    column,
    Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis)),
  );
}

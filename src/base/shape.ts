/** Shapes: lists of dimensions, their broadcasting (NumPy's rules) and their printing. */
import { type Dim, type DimBindings, evaluateDim, formatDim, multiplyDims, sameDim } from './dimension.js';
import { PerformerError } from './errors.js';

/** The dimensions of a tensor, outermost first; a scalar has none. */
export type Shape = readonly Dim[];

/** A shape as messages have it: `[batch, length, 64]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.map(formatDim).join(', ')}]`;
}

/** Whether two shapes are equal for every value of their symbols. */
export function sameShape(left: Shape, right: Shape): boolean {
  return left.length === right.length && left.every((dim, axis) => sameDim(dim, right[axis] as Dim));
}

/** The product of the dimensions; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number;
export function elementCount(shape: Shape): Dim;
export function elementCount(shape: Shape): Dim {
  return shape.reduce<Dim>(multiplyDims, 1);
}

/** The shape to which both broadcast; a dimension of 1 stretches, anything else must be equal. */
export function broadcastShapes(where: string, left: Shape, right: Shape): Shape {
  const rank = Math.max(left.length, right.length);
  return Array.from({ length: rank }, (_, axis) => {
    const a = left[axis - rank + left.length] ?? 1;
    const b = right[axis - rank + right.length] ?? 1;
    if (a === 1) return b;
    if (b === 1 || sameDim(a, b)) return a;
    throw new PerformerError(
      'SHAPE',
      `${where}: expected shapes that broadcast, got ${formatShape(left)} and ${formatShape(right)}. ` +
        `Dimensions ${formatDim(a)} and ${formatDim(b)} differ and neither is 1.`,
    );
  });
}

/** The shape under given values of its symbols. */
export function resolveShape(shape: Shape, bindings: DimBindings): number[] {
  return shape.map((dim) => evaluateDim(dim, bindings));
}

/** Turns an axis that may count from the end into one that counts from the start. */
export function normalizeAxis(where: string, axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= rank) {
    throw new PerformerError('SHAPE', `${where}: expected an axis from ${-rank} to ${rank - 1}, got ${axis}.`);
  }
  return positive;
}

/** Row-major strides in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis] as number;
  }
  return strides;
}

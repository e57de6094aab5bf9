/** Walking broadcast operands for the oracle. */
import { stridesOf } from '../../base/shape.js';
import type { DenseArray } from '../tensor.js';

/** For each element of `shape` in row-major order, the offset of the operand's element that is broadcast to it. */
export function broadcastOffsets(operand: readonly number[], shape: readonly number[]): Int32Array {
  const rank = shape.length;
  const strides = stridesOf(operand);
  const steps = shape.map((_, axis) => {
    const own = axis - rank + operand.length;
    return own < 0 || operand[own] === 1 ? 0 : (strides[own] as number);
  });
  return stridedOffsets(shape, steps);
}

/** The offsets Σ index[axis]·steps[axis] over all indices of `shape`, in row-major order. */
export function stridedOffsets(shape: readonly number[], steps: readonly number[]): Int32Array {
  const offsets = new Int32Array(shape.reduce((product, size) => product * size, 1));
  const index = new Array<number>(shape.length).fill(0);
  let offset = 0;
  for (let position = 0; position < offsets.length; position++) {
    offsets[position] = offset;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      offset += steps[axis] as number;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      offset -= (index[axis] as number) * (steps[axis] as number);
      index[axis] = 0;
    }
  }
  return offsets;
}

/** Applies `combine` element by element to broadcast operands. */
export function mapBroadcast(
  operands: readonly DenseArray[],
  shape: readonly number[],
  combine: (...values: number[]) => number,
): Float64Array {
  const offsets = operands.map((operand) => broadcastOffsets(operand.shape, shape));
  const values = new Array<number>(operands.length);
  return new Float64Array(shape.reduce((product, size) => product * size, 1)).map((_, position) => {
    for (let operand = 0; operand < operands.length; operand++) {
      const at = (offsets[operand] as Int32Array)[position] as number;
      values[operand] = (operands[operand] as DenseArray).data[at] as number;
    }
    return combine(...values);
  });
}

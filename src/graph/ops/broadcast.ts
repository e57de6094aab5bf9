/** Broadcast operands: walking them for the oracle, and writing them as the engine reads them fastest. */
import { elementCount, type Shape, stridesOf } from '../../base/shape.js';
import type { Emitter } from '../emitter.js';
import type { DenseArray, LowerContext } from '../tensor.js';

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
  let offsets = new Int32Array(1);
  // Those of the trailing axes, once for each index of the axis before them.
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const inner = offsets;
    const [size, step] = [shape[axis] as number, steps[axis] as number];
    offsets = new Int32Array(size * inner.length);
    for (let index = 0, to = 0; index < size; index++) {
      for (let at = 0; at < inner.length; at++) offsets[to++] = (inner[at] as number) + index * step;
    }
  }
  return offsets;
}

/** The elements of `data` at `offsets`. */
export function gathered(data: Float64Array, offsets: Int32Array): Float64Array {
  const out = new Float64Array(offsets.length);
  for (let at = 0; at < offsets.length; at++) out[at] = data[offsets[at] as number] as number;
  return out;
}

/** The operand's elements, each as often as `shape` has it. */
export function broadcast(operand: DenseArray, shape: readonly number[]): Float64Array {
  const isWhole = operand.data.length === elementCount(shape);
  return isWhole ? operand.data : gathered(operand.data, broadcastOffsets(operand.shape, shape));
}

/** Applies `combine` element by element to two or three broadcast operands. */
export function mapBroadcast(
  operands: readonly DenseArray[],
  shape: readonly number[],
  combine: (...values: number[]) => number,
): Float64Array {
  const [first, second, third] = operands.map((operand) => broadcast(operand, shape)) as [
    Float64Array,
    Float64Array,
    Float64Array?,
  ];
  const out = new Float64Array(first.length);
  for (let at = 0; at < out.length; at++) {
    const [a, b] = [first[at] as number, second[at] as number];
    out[at] = third === undefined ? combine(a, b) : combine(a, b, third[at] as number);
  }
  return out;
}

/**
 * The lowering rule of an op element by element that ONNX has under this name. Beside a single number with fewer axes ONNX Runtime goes
 * through rows of one number, [..., 1], one by one, which takes a hundred times as long as beside one with as many axes.
 */
export function elementByElement(onnx: string, attributes: Record<string, string> = {}) {
  return (emitter: Emitter, names: readonly string[], _: null, context: LowerContext): readonly string[] => {
    const { shape } = context.outputs[0]!;
    const isSlow = (own: Shape) => own.length < shape.length && own.every((size) => size === 1);
    const operand = (name: string, at: number) =>
      isSlow(context.inputs[at]!.shape) ? emitter.withAxes(name, shape.length) : name;
    return [emitter.emit(onnx, shape.at(-1) === 1 ? names.map(operand) : names, attributes)];
  };
}

/** Ops that move elements and change none: reshape, transpose, concatenate, slice, pad. */
import type { Dtype } from '../../base/array.js';
import { addDims, type Dim, evaluateDim, formatDim, sameDim, subtractDims } from '../../base/dimension.js';
import { PerformerError } from '../../base/errors.js';
import { elementCount, formatShape, normalizeAxis, type Shape, sameShape, stridesOf } from '../../base/shape.js';
import { apply, here, type Op, shapeError, type Tensor } from '../tensor.js';
import { gathered, stridedOffsets } from './broadcast.js';

const reshapeOp: Op<{ shape: Shape }, Dtype> = {
  name: 'reshape',
  infer: ([x], { shape }) => {
    if (!sameDim(elementCount(x!.shape), elementCount(shape))) {
      throw shapeError('reshape', `as many elements as ${formatShape(shape)} holds`, x!);
    }
    return [{ dtype: x!.dtype, shape }];
  },
  evaluate: ([x]) => [x!.data],
  differentiate: ({ inputs: [x], gradients: [g] }) => [reshape(g!, x!.shape)],
  lower: (emitter, [x], { shape }, { inputs: [type] }) => {
    // One unknown dimension is written as −1, and one that stays in its place as 0: no shape arithmetic at run time.
    const sizes: number[] = shape.map((dim, axis) => {
      if (typeof dim === 'number') return dim;
      const before = type!.shape[axis];
      return before !== undefined && sameDim(before, dim) ? 0 : -1;
    });
    const target =
      sizes.filter((dim) => dim === -1).length <= 1
        ? emitter.constant('int64', [sizes.length], sizes)
        : emitter.shape(shape);
    // Only a 0 asks for the shape before; else reshapes in a row are one.
    const source = sizes.includes(0) ? x! : emitter.origin(x!);
    return [emitter.emit('Reshape', [source, target])];
  },
};

/** The same elements in row-major order under another shape. */
export function reshape<D extends Dtype>(x: Tensor<D>, shape: Shape): Tensor<D> {
  return sameShape(x.shape, shape) ? x : (apply(reshapeOp, [x], { shape }) as Tensor<D>);
}

const transposeOp: Op<{ order: readonly number[] }, Dtype> = {
  name: 'transpose',
  infer: ([x], { order }) => {
    if (order.length !== x!.shape.length || [...order].sort((a, b) => a - b).some((axis, i) => axis !== i)) {
      throw shapeError('transpose', `an order of all axes instead of [${order}]`, x!);
    }
    return [{ dtype: x!.dtype, shape: order.map((axis) => x!.shape[axis] as Dim) }];
  },
  evaluate: ([x], { order }) => {
    const strides = stridesOf(x!.shape);
    const pick = (values: readonly number[]) => order.map((axis) => values[axis] as number);
    return [gathered(x!.data, stridedOffsets(pick(x!.shape), pick(strides)))];
  },
  differentiate: ({ gradients: [g], attributes: { order } }) => {
    const inverse = order.map((_, axis) => order.indexOf(axis));
    return [transpose(g!, inverse)];
  },
  lower: (emitter, inputs, { order }, context) => {
    const shape = order.map((axis) => context.inputs[0]!.shape[axis] as Dim);
    const long = order.filter((_, at) => shape[at] !== 1);
    // Axes of length 1 can move without any element: a Reshape copies nothing, a Transpose does.
    const isStill = long.every((axis, at) => at === 0 || (long[at - 1] as number) < axis);
    // Of unknown sizes it would have to compute its shape.
    return isStill && shape.every((dim) => typeof dim === 'number')
      ? reshapeOp.lower(emitter, inputs, { shape }, context)
      : [emitter.emit('Transpose', inputs, { perm: order })];
  },
};

/** Axis i of the result is axis order[i] of x. */
export function transpose<D extends Dtype>(x: Tensor<D>, order: readonly number[]): Tensor<D> {
  return apply(transposeOp, [x], { order }) as Tensor<D>;
}

const concatenateOp: Op<{ axis: number }, Dtype> = {
  name: 'concatenate',
  infer: (inputs, { axis }) => {
    const [first] = inputs;
    const fits = inputs.every(
      (x) =>
        x.dtype === first!.dtype &&
        x.shape.length === first!.shape.length &&
        x.shape.every((dim, at) => at === axis || sameDim(dim, first!.shape[at] as Dim)),
    );
    if (!fits) throw shapeError('concatenate', `one dtype, and shapes alike but for axis ${axis}`, ...inputs);
    const total = inputs.map((x) => x.shape[axis] as Dim).reduce(addDims);
    return [{ dtype: first!.dtype, shape: first!.shape.map((dim, at) => (at === axis ? total : dim)) }];
  },
  evaluate: (inputs, { axis }, { outputShapes }) => {
    const out = new Float64Array(elementCount(outputShapes[0]!));
    const rowLength = (shape: readonly number[]) => elementCount(shape.slice(axis));
    const outRow = rowLength(outputShapes[0]!);
    let start = 0;
    for (const { shape, data } of inputs) {
      const row = rowLength(shape);
      for (let from = 0, to = start; from < data.length; from += row, to += outRow) {
        out.set(data.subarray(from, from + row), to);
      }
      start += row;
    }
    return [out];
  },
  differentiate: ({ inputs, gradients: [g], attributes: { axis } }) => {
    let start: Dim = 0;
    return inputs.map((x) => {
      const end: Dim = addDims(start, x.dim(axis));
      const part = slice(g!, axis, start, end);
      start = end;
      return part;
    });
  },
  lower: (emitter, inputs, { axis }) => [emitter.emit('Concat', inputs, { axis })],
};

/** The parts one behind another along an axis. Throws SHAPE unless all other axes are equal. */
export function concatenate<D extends Dtype>(parts: readonly Tensor<D>[], axis: number): Tensor<D> {
  const [first] = parts;
  if (first === undefined) throw new PerformerError('SHAPE', `${here('concatenate')}: expected at least one tensor.`);
  if (parts.length === 1) return first;
  const at = normalizeAxis(here('concatenate'), axis, first.rank);
  return apply(concatenateOp, parts, { axis: at }) as Tensor<D>;
}

interface Extent {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
}

const sliceOp: Op<Extent, Dtype> = {
  name: 'slice',
  infer: ([x], { axis, start, end }) => {
    const length = subtractDims(end, start);
    const limit = x!.shape[axis] as Dim;
    const outside = [start, length, subtractDims(limit, end)].some((dim) => typeof dim === 'number' && dim < 0);
    if (outside) throw shapeError('slice', `${formatDim(start)}..${formatDim(end)} within axis ${axis}`, x!);
    return [{ dtype: x!.dtype, shape: x!.shape.map((dim, at) => (at === axis ? length : dim)) }];
  },
  evaluate: ([x], { axis, start }, { bindings, outputShapes }) => {
    const { shape, data } = x!;
    const block = elementCount(shape.slice(axis + 1));
    const row = block * (shape[axis] as number);
    const length = block * (outputShapes[0]![axis] as number);
    const out = new Float64Array(elementCount(outputShapes[0]!));
    for (let from = evaluateDim(start, bindings) * block, to = 0; to < out.length; from += row, to += length) {
      out.set(data.subarray(from, from + length), to);
    }
    return [out];
  },
  differentiate: ({ inputs: [x], gradients: [g], attributes: { axis, start, end } }) => [
    pad(g!, axis, start, subtractDims(x!.dim(axis), end)),
  ],
  lower: (emitter, [x], { axis, start, end }) => [
    emitter.emit('Slice', [
      x!,
      emitter.dimension(start),
      emitter.dimension(end),
      emitter.constant('int64', [1], [axis]),
    ]),
  ],
};

/** The elements of an axis from `start` to `end`, which is left out. */
export function slice<D extends Dtype>(x: Tensor<D>, axis: number, start: Dim, end: Dim = x.dim(axis)): Tensor<D> {
  const at = normalizeAxis(here('slice'), axis, x.rank);
  if (start === 0 && sameDim(end, x.dim(at))) return x;
  return apply(sliceOp, [x], { axis: at, start, end }) as Tensor<D>;
}

interface Padding {
  readonly axis: number;
  readonly before: Dim;
  readonly after: Dim;
  readonly value: number;
}

const padOp: Op<Padding, Dtype> = {
  name: 'pad',
  infer: ([x], { axis, before, after }) => [
    {
      dtype: x!.dtype,
      shape: x!.shape.map((dim, at) => (at === axis ? addDims(addDims(before, dim), after) : dim)),
    },
  ],
  evaluate: ([x], { axis, before, value }, { bindings, outputShapes }) => {
    const { shape, data } = x!;
    const block = elementCount(shape.slice(axis + 1));
    const row = block * (shape[axis] as number);
    const outRow = block * (outputShapes[0]![axis] as number);
    const out = new Float64Array(elementCount(outputShapes[0]!)).fill(value);
    for (let from = 0, to = evaluateDim(before, bindings) * block; from < data.length; from += row, to += outRow) {
      out.set(data.subarray(from, from + row), to);
    }
    return [out];
  },
  differentiate: ({ inputs: [x], gradients: [g], attributes: { axis, before } }) => [
    slice(g!, axis, before, addDims(before, x!.dim(axis))),
  ],
  lower: (emitter, [x], { axis, before, after, value }, { inputs: [type] }) => {
    const pads = emitter.emit('Concat', [emitter.dimension(before), emitter.dimension(after)], { axis: 0 });
    return [
      emitter.emit('Pad', [
        x!,
        pads,
        emitter.constant(type!.dtype, [], [value]),
        emitter.constant('int64', [1], [axis]),
      ]),
    ];
  },
};

/** Puts `before` and `after` elements of `value` around an axis. */
export function pad<D extends Dtype>(x: Tensor<D>, axis: number, before: Dim, after: Dim, value = 0): Tensor<D> {
  if (before === 0 && after === 0) return x;
  const at = normalizeAxis(here('pad'), axis, x.rank);
  return apply(padOp, [x], { axis: at, before, after, value }) as Tensor<D>;
}

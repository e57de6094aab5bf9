/** Where values enter a graph: inputs, constants and sizes. */
import type { Dtype } from '../../base/array.js';
import { type Dim, evaluateDim } from '../../base/dimension.js';
import { internalError, PerformerError } from '../../base/errors.js';
import { elementCount, formatShape, type Shape } from '../../base/shape.js';
import { type AnyTensor, apply, type Op, type Tensor, type TensorType, zeroGradient } from '../tensor.js';

interface InputAttributes extends TensorType {
  readonly name: string;
}

export const inputOp: Op<InputAttributes, Dtype> = {
  name: 'input',
  infer: (_, type) => [{ dtype: type.dtype, shape: type.shape }],
  evaluate: (_inputs, { name }) => {
    throw internalError(`the input ${name} was not given to the oracle`);
  },
  differentiate: zeroGradient,
  lower: (emitter, _, { name, dtype, shape }) => [emitter.input(name, dtype, shape)],
};

/** A value that is given when the graph runs. */
export function input<D extends Dtype>(name: string, dtype: D, shape: Shape): Tensor<D> {
  return apply(inputOp, [], { name, dtype, shape }) as Tensor<D>;
}

interface ConstantAttributes {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

const constantOp: Op<ConstantAttributes, Dtype> = {
  name: 'constant',
  infer: (_, { dtype, shape }) => [{ dtype, shape }],
  evaluate: (_, { values }) => [Float64Array.from(values)],
  differentiate: zeroGradient,
  lower: (emitter, _, { dtype, shape, values }) => [emitter.constant(dtype, shape, values)],
};

/** A value known when the graph is built. */
export function constant<D extends Dtype>(dtype: D, shape: readonly number[], values: ArrayLike<number>): Tensor<D> {
  if (elementCount(shape) !== values.length) {
    const size = formatShape(shape);
    throw new PerformerError('SHAPE', `constant: expected as many values as ${size} holds, got ${values.length}.`);
  }
  return apply(constantOp, [], { dtype, shape, values }) as Tensor<D>;
}

/** A number as a tensor without axes; float32 unless said otherwise. */
export function scalar(value: number): Tensor;
export function scalar<D extends Dtype>(value: number, dtype: D): Tensor<D>;
export function scalar(value: number, dtype: Dtype = 'float32'): AnyTensor {
  return constant(dtype, [], [value]);
}

/** Two operands as tensors: a number becomes a scalar of the other's dtype. */
export function toTensors<D extends Dtype>(a: Tensor<D> | number, b: Tensor<D> | number): readonly Tensor<D>[] {
  const { dtype } = (typeof a === 'number' ? b : a) as Tensor<D>;
  return [a, b].map((value) => (typeof value === 'number' ? scalar(value, dtype) : value));
}

const sizeOp: Op<{ dim: Dim; dtype: 'float32' | 'int32' }, 'float32' | 'int32'> = {
  name: 'size',
  infer: (_, { dtype }) => [{ dtype, shape: [] }],
  evaluate: (_, { dim }, { bindings }) => [Float64Array.of(evaluateDim(dim, bindings))],
  differentiate: zeroGradient,
  lower: (emitter, _, { dim, dtype }) => {
    const scalarShape = emitter.constant('int64', [0], []);
    const cast = emitter.emit('Cast', [emitter.dimension(dim)], { to: dtype === 'float32' ? 1 : 6 });
    return [emitter.emit('Reshape', [cast, scalarShape])];
  },
};

/** A dimension as a scalar: a constant unless it is symbolic. */
export function size(dim: Dim): Tensor;
export function size<D extends 'float32' | 'int32'>(dim: Dim, dtype: D): Tensor<D>;
export function size(dim: Dim, dtype: 'float32' | 'int32' = 'float32'): AnyTensor {
  return typeof dim === 'number' ? scalar(dim, dtype) : apply(sizeOp, [], { dim, dtype });
}

/** The dtypes of whole numbers. */
export type Whole = 'int32' | 'int64' | 'uint32';

const rangeOp: Op<{ dim: Dim; dtype: Whole }, Whole> = {
  name: 'range',
  infer: (_, { dim, dtype }) => [{ dtype, shape: [dim] }],
  evaluate: (_inputs, _attributes, { outputShapes }) => [
    Float64Array.from({ length: outputShapes[0]?.[0] ?? 0 }, (_, i) => i),
  ],
  differentiate: zeroGradient,
  lower: (emitter, _, { dim, dtype }) => {
    const scalarShape = emitter.constant('int64', [0], []);
    const limit = emitter.emit('Reshape', [emitter.dimension(dim), scalarShape]);
    const range = emitter.emit('Range', [
      emitter.constant('int64', [], [0]),
      limit,
      emitter.constant('int64', [], [1]),
    ]);
    if (dtype === 'int64') return [range];
    return [emitter.emit('Cast', [range], { to: dtype === 'int32' ? 6 : 12 })];
  },
};

/** 0, 1, … up to the dimension, which is left out: [dim]. */
export function range(dim: Dim): Tensor<'int32'>;
export function range<D extends Whole>(dim: Dim, dtype: D): Tensor<D>;
export function range(dim: Dim, dtype: Whole = 'int32'): AnyTensor {
  return apply(rangeOp, [], { dim, dtype });
}

/** Reading and accumulating rows of a table: embeddings and their gradient. */
import type { Dtype } from '../../base/array.js';
import type { Dim } from '../../base/dimension.js';
import { PerformerError } from '../../base/errors.js';
import { elementCount, type Shape } from '../../base/shape.js';
import { type AnyTensor, apply, expectDtype, type Op, shapeError, type Tensor, zeroGradient } from '../tensor.js';
import { equal } from './compare.js';
import { range } from './constant.js';
import { reshape } from './layout.js';
import { cast, onnxDtypes } from './select.js';

const takeRowsOp: Op<null, Dtype> = {
  name: 'takeRows',
  infer: ([table, indices]) => {
    expectDtype('takeRows', [indices!], 'int32', 'int64');
    return [{ dtype: table!.dtype, shape: [...indices!.shape, ...table!.shape.slice(1)] }];
  },
  evaluate: ([table, indices]) => {
    const row = elementCount(table!.shape.slice(1));
    const rows = table!.shape[0] as number;
    const out = new Float64Array(indices!.data.length * row);
    indices!.data.forEach((index, at) => {
      if (!(index >= 0 && index < rows)) {
        throw new PerformerError('DEVICE', `takeRows: expected indices from 0 to ${rows - 1}, got ${index}.`);
      }
      out.set(table!.data.subarray(index * row, (index + 1) * row), at * row);
    });
    return [out];
  },
  differentiate: ({ inputs: [table, indices], gradients: [g] }) => {
    if (table!.dtype !== 'float32') return [undefined, undefined];
    const count = elementCount(indices!.shape);
    const rows = reshape(g!, [count, ...table!.shape.slice(1)]);
    return [apply(addRowsOp, [reshape(indices!, [count]), rows], { rows: table!.dim(0) }), undefined];
  },
  lower: (emitter, inputs) => [emitter.emit('Gather', inputs, { axis: 0 })],
};

/** table[indices]: table [rows, ...rest], indices of any shape; each index from 0 to rows − 1. */
export function takeRows<D extends Dtype>(table: Tensor<D>, indices: Tensor<'int32' | 'int64'>): Tensor<D> {
  return apply(takeRowsOp, [table, indices], null) as Tensor<D>;
}

/** Tables up to this many rows add up their rows by a product with the one-hot indices. */
const largestProduct = 1024;

const addRowsOp: Op<{ rows: Dim }> = {
  name: 'addRows',
  infer: ([, values], { rows }) => [{ dtype: 'float32', shape: [rows, ...values!.shape.slice(1)] }],
  evaluate: ([indices, values], _, { outputShapes }) => {
    const row = elementCount(values!.shape.slice(1));
    const out = new Float64Array(elementCount(outputShapes[0]!));
    indices!.data.forEach((index, at) => {
      for (let i = 0; i < row; i++) out[index * row + i]! += values!.data[at * row + i] as number;
    });
    return [out];
  },
  differentiate: ({ inputs: [indices], gradients: [g] }) => [
    undefined,
    takeRows(g!, indices as AnyTensor as Tensor<'int32'>),
  ],
  lower: (emitter, [indices, values], { rows }, { inputs: [indexType], outputs: [type] }) => {
    const wide = indexType!.dtype === 'int64' ? indices! : emitter.emit('Cast', [indices!], { to: onnxDtypes.int64 });
    const column = emitter.emit('Unsqueeze', [wide, emitter.constant('int64', [1], [1])]); // [count, 1]
    const count = indexType!.shape[0]!;
    const rest = elementCount(type!.shape.slice(1));
    const flat = emitter.emit('Reshape', [values!, emitter.shape([count, rest])]);
    const shape = emitter.shape([rows, ...type!.shape.slice(1)]);
    // ScatterND adds from several threads in any order, so that equal steps would differ by rounding.
    if (typeof rows === 'number' && rows <= largestProduct) {
      const numbers = emitter.constant(
        'int64',
        [rows],
        Array.from({ length: rows }, (_, row) => row),
      );
      const hot = emitter.emit('Cast', [emitter.emit('Equal', [column, numbers])], { to: onnxDtypes.float32 });
      return [emitter.emit('Reshape', [emitter.emit('Gemm', [hot, flat], { transA: 1 }), shape])];
    }
    const zero = emitter.constant('float32', [1], [0]);
    const empty = emitter.emit('Expand', [zero, emitter.shape([rows, rest])]);
    const everywhere = emitter.emit('Expand', [column, emitter.shape([count, rest])]);
    const added = emitter.emit('ScatterElements', [empty, everywhere, flat], { axis: 0, reduction: 'add' });
    return [emitter.emit('Reshape', [added, shape])];
  },
};

/** The rows `values` [count, ...rest] at the indices [count] of a table [rows, ...rest] of zeros; rows of one index are added. */
export function addRows(indices: Tensor<'int32' | 'int64'>, values: Tensor, rows: Dim): Tensor {
  expectDtype('addRows', [indices], 'int32', 'int64');
  expectDtype('addRows', [values], 'float32');
  return apply(addRowsOp, [indices, values], { rows });
}

const invertIndicesOp: Op<{ size: Dim }, 'int32'> = {
  name: 'invertIndices',
  infer: ([indices], { size }) => {
    expectDtype('invertIndices', [indices!], 'int32');
    if (indices!.shape.length !== 1) throw shapeError('invertIndices', 'one axis', indices!);
    return [{ dtype: 'int32', shape: [size] }];
  },
  evaluate: ([indices], _, { outputShapes }) => {
    const out = new Float64Array(elementCount(outputShapes[0]!));
    indices!.data.forEach((index, at) => {
      out[index] = at;
    });
    return [out];
  },
  differentiate: zeroGradient,
  lower: (emitter, [indices], { size }, { inputs: [type] }) => {
    const at = (value: number) => emitter.constant('int64', [], [value]);
    const limit = emitter.emit('Reshape', [emitter.shape(type!.shape), emitter.constant('int64', [0], [])]);
    const numbers = emitter.emit('Cast', [emitter.emit('Range', [at(0), limit, at(1)])], { to: onnxDtypes.int32 });
    const empty = emitter.emit('Expand', [emitter.constant('int32', [1], [0]), emitter.shape([size])]);
    return [emitter.emit('ScatterElements', [empty, indices!, numbers], { axis: 0 })];
  },
};

/**
 * Where each index stands: of indices [count] from 0 to size − 1 the place of each number [size], 0 for one that is not among
 * them, and any of its places for one that is there more than once.
 */
export function invertIndices(indices: Tensor<'int32'>, size: Dim): Tensor<'int32'> {
  return apply(invertIndicesOp, [indices], { size });
}

/** 1 where the index is the class and 0 elsewhere: [...indices, classes] in float32. */
export function oneHot(indices: Tensor<'int32' | 'int64'>, classes: number): Tensor {
  const shape: Shape = [...indices.shape, 1];
  const dtype = indices.dtype === 'int64' ? 'int64' : 'int32';
  return cast(equal(reshape(indices, shape), range(classes, dtype)), 'float32');
}

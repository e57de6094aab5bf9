/** Rows of tables, of which there is one for each text and head. */
import type { Dtype } from '../base/array.js';
import { type Dim, multiplyDims } from '../base/dimension.js';
import { elementCount } from '../base/shape.js';
import {
  add,
  cast,
  matmul,
  multiply,
  oneHot,
  range,
  reshape,
  size,
  type Tensor,
  takeRows,
  withGradient,
} from '../graph/index.js';

type Indices = Tensor<'int32' | 'int64'>;

/** The first row of each of [...tables] of `rows` rows, of which one stands behind the other: [...tables, 1]. */
export function firstRows(tables: readonly Dim[], rows: Dim): Tensor<'int32'> {
  return reshape(multiply(range(elementCount(tables)), size(rows, 'int32')), [...tables, 1]);
}

/** Indices [...tables, count] into tables of `rows` rows as indices into all tables one after another. */
export function flatIndices(indices: Indices | Tensor, rows: Dim): Tensor<'int32'> {
  return add(cast(indices, 'int32'), firstRows(indices.shape.slice(0, -1), rows));
}

/** The rows of each table [...tables, rows, dim] at the indices [...tables, count]: [...tables, count, dim]. */
export function takeOfEach<D extends Dtype>(x: Tensor<D>, indices: Indices): Tensor<D> {
  const [rows, dim] = [x.dim(-2), x.dim(-1)];
  const table = reshape(x, [multiplyDims(elementCount(x.shape.slice(0, -2)), rows), dim]);
  return takeRows(table, flatIndices(indices, rows));
}

/** The same of a few long rows, whose gradients are added by a product: engines add single rows one number at a time. */
export function takeOfFew(x: Tensor, indices: Indices): Tensor {
  const rows = x.staticDim(-2);
  return withGradient([x], [takeOfEach(x, indices)], ([g]) => [
    matmul(oneHot(indices, rows), g!, { transposeLeft: true }),
  ])[0];
}

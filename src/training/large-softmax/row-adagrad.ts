/**
 * Adagrad for tables of which a step touches few rows (Duchi et al. 2011), with one accumulator a row:
 *
 *   a_i ← a_i + mean(g_i²),   c_i ← c_i − rate · g_i/(√a_i + ε).
 *
 * Nothing decays in it, so a row without a gradient stays as it is, and updating the touched rows alone is the same as
 * updating the whole table: there is nothing lazy to make up for later, as there would be with the moments or the weight
 * decay of AdamW. One number a row instead of dim is what embedding tables use in practice; the class vectors are
 * normalised, so that no coordinate of them is special.
 */
import { type HostTensor, zeros } from '../../base/array.js';
import { mapTree } from '../../base/tree.js';
import { add, divide, mean, multiply, reshape, scope, sqrt, square, subtract, type Tensor } from '../../graph/index.js';

/** The accumulators of a tree of tables [rows, ...], 0 at first: one float32 a row. */
export function initRowSquares<P>(tables: P): P {
  return mapTree(tables, ({ shape }: HostTensor) => zeros('float32', shape.slice(0, 1))) as P;
}

/** The rows and their sums of squares after an update. */
export interface RowUpdate<P> {
  readonly rows: P;
  readonly squares: P;
}

const epsilon = 1e-10;

/** One step for a tree of rows [rows, ...] and their gradients; learningRate is a float32 scalar. */
export function updateRows<P>(rows: P, squares: P, gradients: P, learningRate: Tensor): RowUpdate<P> {
  return scope('rows', () => {
    const leaves = (tree: P) => {
      const found = new Map<string, Tensor>();
      mapTree(tree, (leaf: Tensor, path) => found.set(path, leaf));
      return found;
    };
    const squareOf = leaves(squares);
    const gradientOf = leaves(gradients);
    const nextSquares = mapTree(rows, (row: Tensor, path) => {
      const axes = row.shape.map((_, axis) => axis).slice(1);
      const g = gradientOf.get(path) as Tensor;
      return add(squareOf.get(path) as Tensor, axes.length === 0 ? square(g) : mean(square(g), axes));
    });
    const nextSquareOf = leaves(nextSquares as P);
    const nextRows = mapTree(rows, (row: Tensor, path) => {
      const column = reshape(nextSquareOf.get(path) as Tensor, [row.dim(0), ...row.shape.slice(1).map(() => 1)]);
      const rate = divide(learningRate, add(sqrt(column), epsilon));
      return subtract(row, multiply(gradientOf.get(path) as Tensor, rate));
    });
    return { rows: nextRows as P, squares: nextSquares as P };
  });
}

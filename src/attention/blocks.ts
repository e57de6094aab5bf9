/** Blocks of rows that a loop reads one after another. */
import type { Dtype } from '../base/array.js';
import { ceilDivide, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { type AnyTensor, cast, less, reshape, type Tensor } from '../graph/index.js';
import { fromSequence, toSequence } from './layout.js';

/** Rows of a block: the features of 8 heads of 256 are then 2 MB, and shorter blocks have a dearer product. */
const block = 256;

/** Cuts [batch, length, ...] into blocks [blocks, batch, rows, ...], and puts them together again. */
export interface Blocks {
  readonly count: Dim;
  readonly rows: Dim;
  readonly isPadded: boolean;
  split<D extends Dtype>(x: Tensor<D>): Tensor<D>;
  join<D extends Dtype>(x: Tensor<D>): Tensor<D>;
}

/** The blocks of a length; one where it is short, or read as a whole. */
export function blocksOf(length: Dim, isWhole: boolean): Blocks {
  if (isWhole || (typeof length === 'number' && length <= block)) {
    return {
      count: 1,
      rows: length,
      isPadded: false,
      split: (x) => reshape(x, [1, ...x.shape]),
      join: (x) => reshape(x, x.shape.slice(1)),
    };
  }
  return {
    count: ceilDivide(length, block),
    rows: block,
    isPadded: subtractDims(roundUp(length, block), length) !== 0,
    split: (x) => toSequence(x, block),
    join: (x) => fromSequence(x, length),
  };
}

/** A mask [batch, length] as [blocks, batch, 1, rows, 1]. */
export function maskBlocks({ count, rows, split }: Blocks, mask: Tensor<'bool'>): Tensor<'bool'> {
  // Padding is written in int32, which every engine pads, and read back as a mask.
  return less(0, reshape(split(cast(mask, 'int32')), [count, mask.dim(0), 1, rows, 1]));
}

/** Named tensors as a list, and such a list with the names again. */
export interface Listed<T> {
  readonly tensors: readonly AnyTensor[];
  named(items: readonly AnyTensor[]): T;
}

/** What a loop reads or gives: the tensors that there are, in the order of their names. */
export function listed<T extends object>(tree: T): Listed<T> {
  const entries = Object.entries(tree).filter(([, tensor]) => tensor !== undefined);
  return {
    tensors: entries.map(([, tensor]) => tensor),
    named: (items) => Object.fromEntries(entries.map(([name], at) => [name, items[at]])) as T,
  };
}

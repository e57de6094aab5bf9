/**
 * Work on large tensors in blocks of rows that stay in cache.
 *
 * An engine runs a graph op by op, and each op on tensors larger than its cache is a pass over memory. What computes
 * every row from the same row of its tensors can run all its ops on one block of rows before the next block is read:
 * a Scan without states, whose intermediate values are as small as a block.
 */
import type { Dim } from '../../base/dimension.js';
import { elementCount, sameShape } from '../../base/shape.js';
import { type AnyTensor, shapeError } from '../tensor.js';
import { withGradient } from './custom.js';
import { reshape } from './layout.js';
import { scan } from './scan.js';

/** Smaller tensors stay in the cache between ops; these sizes are the fastest that were measured. */
const fewestElements = 2 ** 21;
/** A block of float32 is half a megabyte; smaller blocks pay more for starting ops, most of all with several threads. */
const blockElements = 2 ** 17;
const smallestBlock = 2 ** 15;

/**
 * `build(tensors)`, computed in blocks of rows where that is faster, with the same values bit for bit.
 *
 * The tensors [...rows, ·] have the same leading dimensions, and so have the results. `build` must compute each row of
 * its results from the same row of its arguments alone: it is called with blocks [some rows, ·] of them, or with the
 * tensors themselves where these are small, their sizes are symbolic, or no number of rows near the size of a block
 * divides theirs. It may use other tensors as well, such as scalars and vectors, whole.
 */
export function inBlocks<const T extends readonly AnyTensor[], const R extends readonly AnyTensor[]>(
  tensors: T,
  build: (tensors: T) => R,
): R {
  const rowShape = tensors[0]?.shape.slice(0, -1) ?? [];
  if (tensors.some(({ shape }) => !sameShape(shape.slice(0, -1), rowShape))) {
    throw shapeError('inBlocks', 'tensors of the same leading dimensions', ...tensors);
  }
  const count = rowsPerBlock(elementCount(rowShape), tensors);
  return count === undefined ? build(tensors) : inBlocksOf(count, tensors, build);
}

/** `inBlocks` with a number of rows in a block, which must divide that of all. */
export function inBlocksOf<const T extends readonly AnyTensor[], const R extends readonly AnyTensor[]>(
  count: number,
  tensors: T,
  build: (tensors: T) => R,
): R {
  const rowShape = tensors[0]!.shape.slice(0, -1) as readonly number[];
  const blocks = tensors.map((tensor) => reshape(tensor, [elementCount(rowShape) / count, count, tensor.dim(-1)]));
  const { items } = scan([], blocks, (_, own) => ({ states: [], items: build(own as readonly AnyTensor[] as T) }));
  const joined = items.map((item) => reshape(item, [...rowShape, item.dim(-1)]));
  // A loop has no gradient: it is that of the plain form, of which nothing else is computed.
  return withGradient(build(tensors), joined, (gradients) => gradients) as readonly AnyTensor[] as R;
}

/** How many rows are computed at once; undefined where blocks are of no use. */
function rowsPerBlock(rows: Dim, tensors: readonly AnyTensor[]): number | undefined {
  const widths = tensors.map(({ shape }) => shape.at(-1));
  if (typeof rows !== 'number' || !widths.every((width) => typeof width === 'number')) return undefined;
  const widest = Math.max(...widths);
  if (rows * widest < fewestElements) return undefined;
  let count = Math.max(1, Math.floor(blockElements / widest));
  while (rows % count !== 0) count--;
  return count === rows || count * widest < smallestBlock ? undefined : count;
}

/**
 * Rows of tables that several indices name, each a few times. The gradient of a row is the sum of those of its copies, which an
 * engine would add number by number: here copies are sorted by their row, those of one row in a block are added by a product of
 * the block with the matrix of what is of one row, and since no row has more copies than a block has places, it lies in at most
 * two blocks.
 */
import { type Dim, multiplyDims } from '../base/dimension.js';
import { elementCount } from '../base/shape.js';
import {
  add,
  addRows,
  broadcastTo,
  cast,
  cumulativeSum,
  equal,
  floor,
  less,
  matmul,
  maximum,
  multiply,
  negate,
  reshape,
  scalar,
  subtract,
  type Tensor,
  topIndices,
  where,
  withGradient,
} from '../graph/index.js';
import { flatIndices, takeOfEach } from './take.js';

/**
 * Takes the rows at indices [batch, heads, count] from tables [batch, heads, rows, dim]. `repeats` divides the count, and no index
 * stands more often in it.
 */
export function repeatedRows(indices: Tensor<'int64'>, rows: Dim, repeats: number): (x: Tensor) => Tensor {
  const [batch, heads] = indices.shape as [Dim, Dim];
  const count = indices.staticDim(-1);
  const blocks = count / repeats;
  const order = topIndices(negate(cast(indices, 'float32')), count); // of equal ones the first is the first
  const named = takeOfEach(reshape(indices, [...indices.shape, 1]), order); // [batch, heads, count, 1]
  const column = reshape(named, [batch, heads, blocks, repeats, 1]);
  const isSame = cast(equal(column, reshape(named, [batch, heads, blocks, 1, repeats])), 'float32');
  const all = elementCount(indices.shape);
  const tables = multiplyDims(batch, heads);
  const found = addRows(
    reshape(flatIndices(indices, rows), [all]),
    broadcastTo(scalar(1), [all, 1]),
    multiplyDims(tables, rows),
  );
  const copies = reshape(found, [batch, heads, rows]);
  const ends = cumulativeSum(copies, -1);
  const last = maximum(subtract(ends, 1), 0);
  // The last place of the block in which the copies of a row begin.
  const blockEnd = subtract(multiply(add(floor(multiply(subtract(ends, copies), 1 / repeats)), 1), repeats), 1);
  const sumAt = (sums: Tensor, place: Tensor, isThere: Tensor<'bool'>) =>
    where(
      reshape(isThere, [batch, heads, rows, 1]),
      takeOfEach(sums, cast(where(isThere, place, scalar(0)), 'int32')),
      scalar(0),
    );
  const addCopies = (gradient: Tensor) => {
    const dim = gradient.dim(-1);
    const sorted = reshape(takeOfEach(gradient, order), [batch, heads, blocks, repeats, dim]);
    const sums = reshape(matmul(isSame, sorted), [batch, heads, count, dim]);
    return add(sumAt(sums, last, less(0, copies)), sumAt(sums, blockEnd, less(blockEnd, last)));
  };
  return (x) => withGradient([x], [takeOfEach(x, indices)], ([g]) => [addCopies(g!)])[0];
}

/** Which tokens of padded rows are real. */
import type { Dim } from '../base/dimension.js';
import { less, range, reshape, type Tensor } from '../graph/index.js';

/** The mask [batch, length] of rows of which each has as many real tokens as `lengths` [batch] says; absent where all are real. */
export function maskOfLengths(lengths: Tensor<'int32'> | undefined, length: Dim): Tensor<'bool'> | undefined {
  return lengths && less(range(length), reshape(lengths, [lengths.dim(0), 1]));
}

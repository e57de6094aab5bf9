/** How many rows of a padded batch are real, as it is given at the front door. */
import { type HostTensor, int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';

/** The lengths [batch] as an array. Throws SHAPE unless there is one for each row, a whole number from 0 to `length`. */
export function rowLengths(
  where: string,
  lengths: ArrayLike<number>,
  batch: number,
  length: number,
): HostTensor<'int32'> {
  const all = Array.from(lengths);
  if (all.length === batch && all.every((each) => Number.isSafeInteger(each) && each >= 0 && each <= length)) {
    return int32([batch], all);
  }
  const told = `expected ${batch} whole numbers from 0 to ${length} as lengths`;
  throw new PerformerError('SHAPE', `${where}: ${told}, got [${all}]. Give one for each row of the batch.`);
}

/** Vectors on the host, in float64. */
import { PerformerError } from '../base/errors.js';

/** A vector on the host. */
export type Vector = ArrayLike<number>;

/** x·y in float64. Throws SHAPE unless both have one length. */
export function dotProduct(x: Vector, y: Vector): number {
  if (x.length !== y.length) {
    throw new PerformerError('SHAPE', `kernel: expected vectors of one length, got ${x.length} and ${y.length}.`);
  }
  let total = 0;
  for (let i = 0; i < x.length; i++) total += (x[i] as number) * (y[i] as number);
  return total;
}

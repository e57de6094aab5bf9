/** Comparing arrays. */
import type { AnyHostTensor } from '../../src/base/index.js';

export function values(tensor: AnyHostTensor): number[] {
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}

/** The largest |a − b| / (1 + |b|). */
export function largestError(a: AnyHostTensor, b: AnyHostTensor): number {
  const left = values(a);
  const right = values(b);
  if (left.length !== right.length) return Number.POSITIVE_INFINITY;
  return left.reduce((worst, value, at) => {
    const error = Math.abs(value - right[at]!) / (1 + Math.abs(right[at]!));
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : Math.max(worst, error);
  }, 0);
}

/**
 * Relative positions by buckets (T5, Raffel et al. 2020, section 2.1): what is added to the score of a query and a key is a learned number
 * of the head and of the bucket that their distance falls into. Half of the buckets are of one distance each, and the others
 * are the wider the farther away they are; from `maxDistance` on all keys are in the last one. Without a causal order one half of all is
 * for keys before the query and the other for keys behind it.
 */
import type { Dim } from '../base/dimension.js';
import {
  add,
  constant,
  maximum,
  minimum,
  reshape,
  subtract,
  type Tensor,
  takeRows,
  transpose,
} from '../graph/index.js';

/** Learned scores of distances. */
export interface RelativeBias {
  /** [buckets, heads] */
  readonly table: Tensor;
  readonly maxDistance: number;
}

/** The bucket of a key so many places before the query, of `buckets`; in float32, as the original rounds. */
function bucketOf(distance: number, buckets: number, maxDistance: number): number {
  const exact = buckets / 2;
  if (distance < exact) return distance;
  const { fround, log } = Math;
  const part = fround(fround(log(fround(distance / exact))) / fround(log(maxDistance / exact)));
  return Math.min(buckets - 1, exact + Math.trunc(fround(part * (buckets - exact))));
}

/** The buckets of keys from `maxDistance` places before the query to as many behind it, of which there are 2·maxDistance + 1. */
export function bucketsOf(buckets: number, maxDistance: number, isCausal: boolean): readonly number[] {
  return Array.from({ length: 2 * maxDistance + 1 }, (_, at) => {
    const offset = at - maxDistance;
    if (isCausal) return bucketOf(Math.max(0, -offset), buckets, maxDistance);
    const half = buckets / 2;
    return (offset > 0 ? half : 0) + bucketOf(Math.abs(offset), half, maxDistance);
  });
}

/**
 * What is added to scores [batch, heads, queries, keys], from the places of queries and keys in their text, int32 [1 or batch, queries] and
 * [1 or batch, keys].
 */
export function relativeScores(
  { table, maxDistance }: RelativeBias,
  places: { readonly query: Tensor<'int32'>; readonly key: Tensor<'int32'> },
  isCausal: boolean,
): Tensor {
  const [rows, queries] = places.query.shape as [Dim, Dim];
  const offset = subtract(reshape(places.key, [rows, 1, places.key.dim(1)]), reshape(places.query, [rows, queries, 1]));
  const near = minimum(maximum(offset, -maxDistance), maxDistance);
  const buckets = bucketsOf(table.staticDim(0), maxDistance, isCausal);
  const chosen = takeRows(constant('int32', [buckets.length], buckets), add(near, maxDistance));
  return transpose(takeRows(table, chosen), [0, 3, 1, 2]);
}

/** Samples of queries, keys and values on the host, from which errors are predicted and measured. */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { formatShape } from '../base/shape.js';

/** Queries and keys of a model on a text, on which maps are compared. */
export interface AttentionSamples {
  /** [batch, queries, heads, dim] and [batch, keys, heads, dim], as they go into attention: after rotary positions. */
  readonly query: HostTensor;
  readonly key: HostTensor;
  /** [batch, keys, heads, valueDim]; without them the error is that of the attention matrix itself. */
  readonly value?: HostTensor;
  readonly isCausal: boolean;
}

/** Throws SHAPE unless samples fit together, NUMERIC unless they are finite. */
export function checkSamples(where: string, { query, key, value, isCausal }: AttentionSamples): void {
  const [batch, keys, heads, dim] = key.shape;
  const fits =
    [query, key].every(({ shape }) => shape.length === 4 && shape.every((size) => size > 0)) &&
    query.shape[0] === batch &&
    query.shape[2] === heads &&
    query.shape[3] === dim &&
    (!isCausal || query.shape[1] === keys) &&
    (value === undefined ||
      (value.shape.length === 4 && [0, 1, 2].every((axis) => value.shape[axis] === key.shape[axis])));
  if (!fits) {
    const got = [query, key, ...(value === undefined ? [] : [value])].map(({ shape }) => formatShape(shape)).join(', ');
    throw new PerformerError(
      'SHAPE',
      `${where}: expected query, key and value [batch, length, heads, dim], got ${got}.`,
    );
  }
  for (const { data } of [query, key, ...(value === undefined ? [] : [value])]) {
    if (!data.every(Number.isFinite)) {
      throw new PerformerError('NUMERIC', `${where}: expected finite samples, got NaN or infinity.`);
    }
  }
}

/** One sequence and head: float64 vectors by position, queries and keys scaled by dim^(−1/4). */
export interface HeadSamples {
  readonly head: number;
  readonly queries: readonly Float64Array[];
  readonly keys: readonly Float64Array[];
  readonly values: readonly Float64Array[] | undefined;
}

/** The vectors of one sequence and head, times a scale. */
export function vectorsOf({ shape, data }: HostTensor, item: number, head: number, scale = 1): Float64Array[] {
  const [, length, heads, dim] = shape as [number, number, number, number];
  return Array.from({ length }, (_, position) => {
    const start = ((item * length + position) * heads + head) * dim;
    return Float64Array.from(data.subarray(start, start + dim), (value) => value * scale);
  });
}

export function headSamples(where: string, samples: AttentionSamples): HeadSamples[] {
  checkSamples(where, samples);
  const { query, key, value } = samples;
  const [batch, , heads, dim] = query.shape as [number, number, number, number];
  return Array.from({ length: batch * heads }, (_, at) => {
    const [item, head] = [Math.floor(at / heads), at % heads];
    return {
      head,
      queries: vectorsOf(query, item, head, dim ** -0.25),
      keys: vectorsOf(key, item, head, dim ** -0.25),
      values: value && vectorsOf(value, item, head),
    };
  });
}

/** At most `count` positions, evenly spaced over `length`. */
export function sampledRows(length: number, count: number): number[] {
  const rows = Math.min(length, count);
  return Array.from({ length: rows }, (_, row) => Math.floor(((row + 0.5) * length) / rows));
}

export function dotOf(left: Float64Array, right: Float64Array): number {
  let total = 0;
  for (let i = 0; i < left.length; i++) total += (left[i] as number) * (right[i] as number);
  return total;
}

export function logSoftmax(products: Float64Array): Float64Array {
  const top = products.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const total = top + Math.log(products.reduce((sum, value) => sum + Math.exp(value - top), 0));
  return products.map((value) => value - total);
}

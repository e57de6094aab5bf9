/** Inputs of attention drawn from a seed, and how far float32 may carry an output from the truth. */

import { type AnyHostTensor, type HostTensor, Random } from '../../src/base/index.js';
import { drawProjection } from '../../src/features/index.js';
import { normal } from './cases.js';

export interface DrawnAttention {
  readonly query: HostTensor;
  readonly key: HostTensor;
  readonly value: HostTensor;
  readonly keyMask?: HostTensor<'bool'>;
  /** [batch, keys, heads] */
  readonly logDecay?: HostTensor;
  /** [batch, queries] and [batch, keys] */
  readonly queryPosition?: AnyHostTensor;
  readonly keyPosition?: AnyHostTensor;
}

export interface AttentionSizes {
  readonly batch: number;
  readonly heads: number;
  readonly length: number;
  readonly queries?: number;
  readonly dim: number;
  /** The standard deviation of queries and keys; that of the values is 1. */
  readonly std: number;
}

export function drawAttention({ batch, heads, length, queries = length, dim, std }: AttentionSizes): DrawnAttention {
  return {
    query: normal('query', [batch, queries, heads, dim], std),
    key: normal('key', [batch, length, heads, dim], std),
    value: normal('value', [batch, length, heads, dim]),
  };
}

export function projectionOf(features: number, dim: number): HostTensor {
  return drawProjection(Random.fromSeed(3), features, dim);
}

/** A mask [batch, length] from a rule. */
export function maskOf(
  batch: number,
  length: number,
  isVisible: (item: number, position: number) => boolean,
): HostTensor<'bool'> {
  const data = Uint8Array.from({ length: batch * length }, (_, at) =>
    Number(isVisible(Math.floor(at / length), at % length)),
  );
  return { dtype: 'bool', shape: [batch, length], data };
}

/** Decays [batch, length, heads] from a rule that gives what a token multiplies all before it by. */
export function decayOf(
  { batch, length, heads }: Pick<AttentionSizes, 'batch' | 'length' | 'heads'>,
  factor: (item: number, position: number, head: number) => number,
): HostTensor {
  const data = Float32Array.from({ length: batch * length * heads }, (_, at) =>
    Math.log(factor(Math.floor(at / (length * heads)), Math.floor(at / heads) % length, at % heads)),
  );
  return { dtype: 'float32', shape: [batch, length, heads], data };
}

/** Positions from `start` to `end` along axis 1. */
export function cutLength<T extends AnyHostTensor>(tensor: T, start: number, end: number): T {
  const [batch, length, ...rest] = tensor.shape as [number, number, ...number[]];
  const block = rest.reduce((a, b) => a * b, 1);
  const Data = tensor.data.constructor as Float32ArrayConstructor;
  const data = new Data(batch * (end - start) * block);
  for (let item = 0; item < batch; item++) {
    const part = tensor.data.subarray((item * length + start) * block, (item * length + end) * block);
    data.set(part as Float32Array, item * (end - start) * block);
  }
  return { ...tensor, shape: [batch, end - start, ...rest], data };
}

/** The inverse of cutting: pieces [batch, ·, ...] one after another along axis 1, in float64. */
export function joinLength(pieces: readonly AnyHostTensor[]): HostTensor<'float64'> {
  const [batch, , ...rest] = pieces[0]!.shape as [number, number, ...number[]];
  const length = pieces.reduce((total, { shape }) => total + shape[1]!, 0);
  const block = rest.reduce((a, b) => a * b, 1);
  const data = new Float64Array(batch * length * block);
  for (let item = 0, to = 0; item < batch; item++) {
    for (const piece of pieces) {
      const size = piece.shape[1]! * block;
      for (let i = 0; i < size; i++) data[to++] = Number(piece.data[item * size + i]);
    }
  }
  return { dtype: 'float64', shape: [batch, length, ...rest], data };
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((top, value) => Math.max(top, Math.abs(value)), 0);
}

/** For each row [rows, dim] of x, the largest Σⱼ |ωⱼ xⱼ|·scale over the rows ω of `others`. */
function largestTerms(x: AnyHostTensor, others: AnyHostTensor, scale: number): number {
  const dim = x.shape.at(-1)!;
  const [left, right] = [x, others].map(({ data }) => new Float64Array(data as Float32Array).map(Math.abs));
  let top = 0;
  for (let a = 0; a < left!.length; a += dim) {
    for (let b = 0; b < right!.length; b += dim) {
      let total = 0;
      for (let i = 0; i < dim; i++) total += left![a + i]! * right![b + i]!;
      if (total > top) top = total;
    }
  }
  return top * scale;
}

/**
 * What float32 may do to an output, absolutely.
 *
 * An output is a mean of values under weights e^a. An absolute error δ in each exponent a is a relative one in each
 * weight, and moves the mean by at most 2δ·max|v|. An exponent is a dot product and a few differences. With E the sum of
 * its absolute terms, every rounding on the way is at most E·2⁻²⁴, and mostly a small part of that, since partial sums
 * are below E; there are some ten in a row (an engine sums in blocks), and they are random. One whole unit stands for
 * all of them: δ = E·2⁻²⁴. A mean over `length` values adds √length·2⁻²⁴·max|v|.
 *
 * E is about 60 at std 1 and 300 at std 4 (dim 64, the key's |k|²/(2√d) included), which gives 3e-5 and 1.4e-4 for
 * values up to 4. The largest error found in the conformance suite is a sixth of its bound.
 */
export function float32Tolerance({ query, key, value }: DrawnAttention, projection?: AnyHostTensor): number {
  const dim = query.shape.at(-1)!;
  const scale = dim ** -0.25;
  const exponent =
    projection === undefined
      ? largestTerms(query, key, dim ** -0.5)
      : largestTerms(query, projection, scale) +
        largestTerms(key, projection, scale) +
        (largestTerms(key, key, 1) * scale * scale) / 2;
  return largest(value.data) * 2 ** -24 * (2 * exponent + Math.sqrt(key.shape[1]!));
}

/** The axes of attention: [batch, length, heads, dim] outside, heads or chunks first inside. */
import type { Dtype } from '../base/array.js';
import { ceilDivide, type Dim, multiplyDims, roundUp, sameDim, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { sameShape } from '../base/shape.js';
import type { FeatureMap } from '../features/index.js';
import {
  type AnyTensor,
  abs,
  broadcastTo,
  cast,
  concatenate,
  less,
  or,
  pad,
  range,
  reshape,
  scalar,
  slice,
  sum,
  type Tensor,
  transpose,
  where,
} from '../graph/index.js';

/** What attention reads. */
export interface AttentionInputs {
  /** [batch, queries, heads, dim] */
  readonly query: Tensor;
  /** [batch, keys, keyHeads, dim]; heads are a multiple of keyHeads, and each of these serves as many in a row (heads.ts). */
  readonly key: Tensor;
  /** [batch, keys, keyHeads, valueDim] */
  readonly value: Tensor;
  /**
   * [batch, keys] bool, true where a key may be attended to. A query that sees no key gets zeros. What a hidden key and its
   * value hold counts for nothing, in outputs and gradients, be it NaN or infinite. Where queries and keys are as many,
   * position i of both is taken for one token: the query of a hidden token counts as zeros if it is not finite.
   */
  readonly keyMask?: Tensor<'bool'> | undefined;
  /**
   * [batch, keys, keyHeads], finite numbers of 0 or less: the logarithm of what each token multiplies all keys before it by, in
   * numerators and denominators alike. Of causal attention through a feature map alone; hidden tokens multiply by 1.
   */
  readonly logDecay?: Tensor | undefined;
  /** [batch, queries] and [batch, keys], for features that use positions; 0, 1, … unless given. */
  readonly queryPosition?: AnyTensor | undefined;
  readonly keyPosition?: AnyTensor | undefined;
}

function hasWholeGroups(heads: Dim, keyHeads: Dim): boolean {
  if (sameDim(heads, keyHeads)) return true;
  return typeof heads === 'number' && typeof keyHeads === 'number' && heads % keyHeads === 0;
}

/** Throws SHAPE unless the inputs fit together and hold something, and CONFIG for a decay where there is none. */
export function checkInputs(
  where: string,
  { query, key, value, keyMask, logDecay }: AttentionInputs,
  isCausal: boolean,
  hasDecay = false,
): void {
  const [batch, keys, heads] = key.shape;
  const fits =
    [query, key, value].every(({ rank, shape }) => rank === 4 && !shape.includes(0)) &&
    sameDim(query.dim(0), batch!) &&
    hasWholeGroups(query.dim(2), heads!) &&
    sameDim(query.dim(3), key.dim(3)) &&
    sameShape(value.shape.slice(0, 3), key.shape.slice(0, 3)) &&
    (!isCausal || sameDim(query.dim(1), keys!));
  if (!fits) {
    const got = [query, key, value].join(', ');
    throw new PerformerError(
      'SHAPE',
      `${where}: expected query, key, value [batch, length, heads, dim], none of them 0, with as many heads for the query or a multiple, got ${got}.`,
    );
  }
  if (
    keyMask !== undefined &&
    ((keyMask as AnyTensor).dtype !== 'bool' || !sameShape(keyMask.shape, [batch!, keys!]))
  ) {
    throw new PerformerError('SHAPE', `${where}: expected keyMask bool [${batch}, ${keys}], got ${keyMask}.`);
  }
  if (logDecay === undefined) return;
  if (!hasDecay) {
    throw new PerformerError(
      'CONFIG',
      `${where}: expected no logDecay, got ${logDecay}. Causal attention through a feature map has one.`,
    );
  }
  if (!sameShape(logDecay.shape, [batch!, keys!, heads!])) {
    throw new PerformerError('SHAPE', `${where}: expected logDecay [${batch}, ${keys}, ${heads}], got ${logDecay}.`);
  }
}

/** The sum of finite entries: below this in magnitude. */
const largest = 2 ** 127;

/**
 * The inputs with zeros in the place of what the mask hides: chosen, not multiplied, so that NaN and infinity reach
 * neither an output nor a gradient. A query of a hidden token keeps its output while it is finite.
 */
export function withoutHidden(inputs: AttentionInputs): AttentionInputs {
  const { query, key, value, keyMask, logDecay } = inputs;
  if (keyMask === undefined) return inputs;
  const chosen = (rows: Tensor<'bool'>, x: Tensor) => where(reshape(rows, [...rows.shape, 1, 1]), x, scalar(0));
  const decay = logDecay && where(reshape(keyMask, [...keyMask.shape, 1]), logDecay, scalar(0));
  const shown = { ...inputs, key: chosen(keyMask, key), value: chosen(keyMask, value), logDecay: decay };
  if (!sameDim(query.dim(1), key.dim(1))) return shown;
  const isWhole = less(abs(sum(query, [2, 3])), largest); // [batch, length]
  return { ...shown, query: chosen(or(keyMask, isWhole), query) };
}

/** Throws CONFIG for features that would carry later tokens into earlier outputs. */
export function refuseSequenceWide(where: string, { name, isSequenceWide }: FeatureMap): void {
  if (isSequenceWide) {
    throw new PerformerError('CONFIG', `${where}: expected features of one position each, got ${name}. Use epsilon 0.`);
  }
}

/**
 * The positions of queries and keys in float32, laid out as `arrange` lays out [batch, length, 1, 1]; none for features
 * that use none.
 */
export function positionsOf(
  where: string,
  { query, key, queryPosition, keyPosition }: AttentionInputs,
  { usesPosition }: FeatureMap,
  arrange: (x: Tensor) => Tensor,
): { readonly query?: Tensor; readonly key?: Tensor } {
  if (!usesPosition) return {};
  const laidOut = (x: Tensor, given: AnyTensor | undefined) => {
    const [batch, length] = x.shape as [Dim, Dim];
    if (given !== undefined && !sameShape(given.shape, [batch, length])) {
      throw new PerformerError('SHAPE', `${where}: expected positions [${batch}, ${length}], got ${given}.`);
    }
    const counted = given ?? broadcastTo(range(length), [batch, length]);
    return arrange(reshape(cast(counted, 'float32'), [batch, length, 1, 1]));
  };
  return { query: laidOut(query, queryPosition), key: laidOut(key, keyPosition) };
}

/**
 * Throws CONFIG unless features that use positions get those of queries and of keys: after a state, where counting from 0
 * would repeat the first positions, both are needed; elsewhere both or none.
 */
export function expectPositions(
  where: string,
  { queryPosition, keyPosition }: Pick<AttentionInputs, 'queryPosition' | 'keyPosition'>,
  { name, usesPosition }: FeatureMap,
  hasState = false,
): void {
  if (!usesPosition) return;
  const given = [queryPosition, keyPosition].filter((position) => position !== undefined).length;
  if (given === 2 || (given === 0 && !hasState)) return;
  const wanted = hasState
    ? 'queryPosition and keyPosition after a state'
    : 'both queryPosition and keyPosition, or none,';
  throw new PerformerError('CONFIG', `${where}: expected ${wanted} for ${name} features, got ${given} of the two.`);
}

/** [batch, length, heads, dim] → [batch, heads, length, dim], and back. */
export function swapHeads<D extends Dtype>(x: Tensor<D>): Tensor<D> {
  return transpose(x, [0, 2, 1, 3]);
}

/** [V, 1]: values with a column of ones, which carries the denominator. */
export function withOnes(value: Tensor): Tensor {
  return concatenate([value, broadcastTo(scalar(1), [...value.shape.slice(0, -1), 1])], -1);
}

/** [batch, length, ...] with zeros appended up to a multiple of `chunk`. */
export function padLength<D extends Dtype>(x: Tensor<D>, chunk: number): Tensor<D> {
  const length = x.dim(1);
  return pad(x, 1, 0, subtractDims(roundUp(length, chunk), length));
}

/** [batch, length, ...] → [chunks, batch, chunk, ...], the length padded to whole chunks; and back. */
export function toSequence<D extends Dtype>(x: Tensor<D>, chunk: number): Tensor<D> {
  const [batch, length, ...rest] = x.shape as [Dim, Dim, ...Dim[]];
  const split = reshape(padLength(x, chunk), [batch, ceilDivide(length, chunk), chunk, ...rest]);
  return transpose(split, [1, 0, 2, ...rest.map((_, axis) => axis + 3)]);
}

export function fromSequence<D extends Dtype>(x: Tensor<D>, length: Dim): Tensor<D> {
  const [, batch, chunk, ...rest] = x.shape as [Dim, Dim, number, ...Dim[]];
  const joined = transpose(x, [1, 0, 2, ...rest.map((_, axis) => axis + 3)]);
  return slice(reshape(joined, [batch, roundUp(length, chunk), ...rest]), 1, 0, length);
}

/** [chunks, batch, heads, chunk, dim] → [batch, chunks, chunk, heads, dim]. */
export function chunkRows(x: Tensor): Tensor {
  return transpose(x, [1, 0, 3, 2, 4]);
}

/**
 * [batch, chunks, chunk, heads, dim] → [batch, length, heads, dim], without the padding. Apart from `chunkRows`, since
 * an engine copies what is reshaped at the end of a branch, and nothing where it is reshaped after it.
 */
export function joinRows(x: Tensor, length: Dim): Tensor {
  const [batch, chunks, chunk, heads, dim] = x.shape as [Dim, Dim, Dim, Dim, Dim];
  return slice(reshape(x, [batch, multiplyDims(chunks, chunk), heads, dim]), 1, 0, length);
}

/** [batch, length, heads, dim] → [batch, chunks, chunk, heads, dim], the length padded to whole chunks. */
export function splitRows(x: Tensor, chunk: number): Tensor {
  const [batch, length, heads, dim] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(padLength(x, chunk), [batch, ceilDivide(length, chunk), chunk, heads, dim]);
}

/**
 * One chunk of causal FAVOR+: what it adds to the sums of the keys before, its outputs, and their gradients.
 *
 * With values extended by a column of ones, Ṽ = [V, 1], weighted by e^{logScale − R}, R the largest scale of a key so far,
 * and P = e^{R_before − R} S the sums of the chunks before, a row for each column of Ṽ,
 *
 *   [num, den] = tril(Q Kᵀ) Ṽ + Q Pᵀ,    S ← P + Ṽᵀ K.
 *
 * With G the gradient of [num, den] and Z that of S after the chunk, summed over all later chunks,
 *
 *   dQ = tril(G Ṽᵀ) K + G P;   dK = tril(G Ṽᵀ)ᵀ Q + Ṽ Z;   dṼ = tril(Q Kᵀ)ᵀ G + K Zᵀ;   Z ← e^{R_before − R} (Z + Gᵀ Q).
 *
 * R cancels exactly in num/den and needs no gradient. Axes: [batch, heads, chunk, ·]; rows come as [batch, chunk, heads, ·].
 */
import type { FeatureMap } from '../features/index.js';
import {
  add,
  cast,
  concatenate,
  cumulativeSum,
  exp,
  matmul,
  max,
  maximum,
  multiply,
  pullback,
  slice,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { massOf } from './guard.js';
import { swapHeads } from './layout.js';
import { normalize, normalizeGradient } from './normalize.js';
import { type KeyTokens, keyResults, keyRows, orNothing, type QueryTokens, queryResults, queryRows } from './rows.js';
import { addSums, type FeatureSums, joinSums, readSums, scaleSums, splitSums, sumsOf, weightsOf } from './sums.js';

export interface ChunkTokens extends QueryTokens, KeyTokens {
  /** [batch, 1, chunk, 1]: false for queries that see no key. */
  readonly visible?: Tensor<'bool'>;
}

export interface ChunkForm {
  /** Guarded. */
  readonly map: FeatureMap;
  /** 1 where a key is at or before the query: [chunk, chunk]. */
  readonly tril: Tensor;
  /** Whether the features have logarithms, which then get the gradients. */
  readonly isLogarithmic: boolean;
  /** What weights are raised by (state.ts). */
  readonly headroom: number;
}

/** S with the headroom in it, and R [batch, heads, 1, 1]. */
export interface ChunkState {
  readonly sums: FeatureSums;
  readonly scale: Tensor;
}

/** What the gradient needs of a chunk. */
export interface ChunkSaved {
  /** 1/den [batch, heads, chunk, 1] */
  readonly inverse: Tensor;
  /** The weights of the keys, [batch, heads, chunk, 1]. */
  readonly weight: Tensor;
  /** P; of rows with scales of their own, the S before the chunk and its R. */
  readonly values: Tensor;
  readonly weights: Tensor;
  readonly past?: Tensor | undefined;
  /** e^{R_before − R} [batch, heads, 1, 1] */
  readonly decay: Tensor;
  /** Where a guarded denominator is the row's own, int32 [batch, heads, chunk, 1]. */
  readonly isOwn?: Tensor<'int32'> | undefined;
}

export interface ChunkResult {
  readonly next: ChunkState;
  /** [batch, heads, chunk, dim] */
  readonly output: Tensor;
  readonly saved: ChunkSaved;
  /** The weight of the keys that each row sees, of maps with logarithms, whose features add up to 1: [batch, heads, chunk, 1]. */
  readonly seen?: Tensor | undefined;
}

/** Reads a chunk after a state. */
export function readChunk(
  { map, tril, isLogarithmic, headroom }: ChunkForm,
  state: ChunkState,
  tokens: ChunkTokens,
): ChunkResult {
  const query = queryRows(map, tokens).features.values;
  const keys = keyRows(map, tokens);
  const key = keys.features.values;
  const scale = maximum(state.scale, max(keys.logScale, 2, true));
  const decay = exp(subtract(state.scale, scale));
  const weight = weightsOf(keys.logScale, scale, headroom);
  const prefix = scaleSums(state.sums, decay); // P
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril); // [batch, heads, chunk, chunk]
  const before = readSums(query, prefix);
  const mass = map.isSigned
    ? add(cumulativeSum(multiply(slice(key, -1, map.featureCount - 1), weight), 2), massOf(prefix.weights))
    : undefined;
  const { output, inverse, isOwn } = normalize(
    add(matmul(scores, multiply(keys.value, weight)), before.numerator),
    add(matmul(scores, weight), before.denominator),
    { visible: tokens.visible, mass },
  );
  return {
    next: { sums: addSums(prefix, sumsOf(keys, weight)), scale },
    output,
    saved: { inverse, weight, ...prefix, decay, isOwn: isOwn && cast(isOwn, 'int32') },
    seen: isLogarithmic ? add(matmul(tril, weight), sum(prefix.weights, -1, true)) : undefined,
  };
}

export interface ChunkGradientInputs {
  readonly output: Tensor;
  /** [batch, chunk, heads, dim] */
  readonly gOutput: Tensor;
  /** Z */
  readonly later: Tensor;
}

export interface ChunkGradients {
  /** [batch, chunk, heads, ·] */
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** Of the map's learned tensors, in their order. */
  readonly learned: readonly Tensor[];
  /** Z of the chunk before. */
  readonly earlier: Tensor;
}

/** The gradients of a chunk, given its outputs, their gradients and Z; the features are computed again. */
export function chunkGradients(
  { map, tril, isLogarithmic }: ChunkForm,
  tokens: ChunkTokens,
  { inverse, weight, values, weights, decay, isOwn }: ChunkSaved,
  { output, gOutput, later }: ChunkGradientInputs,
): ChunkGradients {
  const [queries, keys] = [queryRows(map, tokens), keyRows(map, tokens)];
  const [query, key] = [queries.features.values, keys.features.values];
  const weighted = multiply(keys.value, weight);
  const extended = concatenate([weighted, weight], -1); // Ṽ
  const { numerator, denominator } = normalizeGradient({
    gradient: swapHeads(gOutput),
    output,
    inverse,
    isOwn: isOwn && cast(isOwn, 'bool'),
  });
  const g = concatenate([numerator, denominator], -1); // G
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril);
  const gScores = multiply(matmul(g, extended, { transposeRight: true }), tril);
  const gQuery = add(matmul(gScores, key), matmul(g, joinSums({ values, weights })));
  const gKey = add(matmul(gScores, query, { transposeLeft: true }), matmul(extended, later));
  const ofLater = readSums(key, splitSums(later));
  const gValue = add(matmul(scores, numerator, { transposeLeft: true }), ofLater.numerator);
  const gWeight = add(matmul(scores, denominator, { transposeLeft: true }), ofLater.denominator);
  const gScale = add(sum(multiply(weighted, gValue), -1, true), multiply(weight, gWeight));
  const learned = map.learned ?? [];
  const results = [
    ...queryResults(queries.features, gQuery, isLogarithmic),
    ...keyResults(keys.features, gKey, gScale, isLogarithmic),
  ];
  const [ofQuery, ofKey, ...rest] = pullback(results, [queries.rows, keys.rows, ...learned]);
  return {
    query: swapHeads(orNothing(ofQuery, queries.rows)),
    key: swapHeads(orNothing(ofKey, keys.rows)),
    value: swapHeads(multiply(gValue, weight)),
    learned: learned.map((like, index) => orNothing(rest[index], like)),
    earlier: multiply(add(later, matmul(g, query, { transposeLeft: true })), decay),
  };
}

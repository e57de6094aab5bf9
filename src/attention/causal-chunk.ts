/**
 * One chunk of causal FAVOR+: what it adds to the sums of the keys before, its own sums, and their gradients.
 *
 *   Q, K     the features of queries and keys           [.., rows, features]; rows of a whole group of query heads for Q
 *   Ṽ        [V, 1]: the values and a column of ones, weighted by e^{logScale − R}
 *   R        the largest scale of a key so far; R_before that without this chunk
 *   S        the sums of all keys so far, a row for each column of Ṽ
 *   P        e^{R_before − R} S, the sums of the chunks before
 *   G        the gradient of [num, den]
 *   Z        the gradient of S after the chunk, from all that reads it later
 *
 *   [num, den] = tril(Q Kᵀ) Ṽ + Q Pᵀ,    S ← P + Ṽᵀ K
 *   dQ = tril(G Ṽᵀ) K + G P;   dK = tril(G Ṽᵀ)ᵀ Q + Ṽ Z;   dṼ = tril(Q Kᵀ)ᵀ G + K Zᵀ;   Z ← e^{R_before − R} (Z + Gᵀ Q)
 *
 * R is a part of the scale of [num, den], which is taken as a constant. Axes: [batch, keyHeads, rows, ·] inside; tokens come
 * as [batch, chunk, heads, ·].
 */
import type { FeatureMap } from '../features/index.js';
import {
  add,
  concatenate,
  cumulativeSum,
  exp,
  matmul,
  max,
  maximum,
  multiply,
  slice,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { massOf } from './guard.js';
import { gatherHeads, repeatRows } from './heads.js';
import { swapHeads } from './layout.js';
import {
  asQueries,
  type KeyRows,
  type KeyTokens,
  keyResults,
  keyRows,
  type QueryRows,
  type QueryTokens,
  queryResults,
  queryRows,
  queryScale,
  tokenGradients,
} from './rows.js';
import { addSums, type FeatureSums, joinSums, readSums, scaleSums, splitSums, sumsOf, weightsOf } from './sums.js';

export interface ChunkTokens extends QueryTokens, KeyTokens {
  /** Where keys decay, the sum of logDecay from the first token of the chunk up to each, [batch, chunk, keyHeads, 1]. */
  readonly decaySoFar?: Tensor | undefined;
}

export interface ChunkForm {
  /** Guarded. */
  readonly map: FeatureMap;
  /** Query heads for each key head. */
  readonly group: number;
  /** 1 where a key is at or before the query: [group·chunk, chunk]. */
  readonly tril: Tensor;
  /** Whether the features have logarithms, which then get the gradients. */
  readonly isLogarithmic: boolean;
  /** What weights are raised by (state.ts). */
  readonly headroom: number;
}

/** S with the headroom in it, and R [batch, keyHeads, 1, 1]. */
export interface ChunkState {
  readonly sums: FeatureSums;
  readonly scale: Tensor;
}

/** What the gradient needs of a chunk. */
export interface ChunkSaved {
  /** The weights of the keys, [batch, keyHeads, chunk, 1]. */
  readonly weight: Tensor;
  /** P; of rows with scales of their own, the S before the chunk and its R. */
  readonly values: Tensor;
  readonly weights: Tensor;
  readonly past?: Tensor | undefined;
  /** e^{R_before − R} [batch, keyHeads, 1, 1] */
  readonly decay: Tensor;
}

/** The sums that the rows of a chunk see, [batch, heads, chunk, ·]. */
export interface ChunkTerms {
  readonly numerator: Tensor;
  readonly denominator: Tensor;
  readonly logScale: Tensor;
  /** Of signed maps. */
  readonly mass?: Tensor | undefined;
  /** The weight of the keys that each row sees, of maps with logarithms, whose features add up to 1. */
  readonly seen?: Tensor | undefined;
}

export interface ChunkResult {
  readonly next: ChunkState;
  readonly terms: ChunkTerms;
  readonly saved: ChunkSaved;
}

/** Reads a chunk after a state. */
export function readChunk(
  { map, group, tril, isLogarithmic, headroom }: ChunkForm,
  state: ChunkState,
  tokens: ChunkTokens,
): ChunkResult {
  const queries = queryRows(map, tokens, group);
  const keys = keyRows(map, tokens);
  const [query, key] = [queries.values, keys.features.values];
  const scale = maximum(state.scale, max(keys.logScale, 2, true));
  const decay = exp(subtract(state.scale, scale));
  const weight = weightsOf(keys.logScale, scale, headroom);
  const prefix = scaleSums(state.sums, decay); // P
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril); // [batch, keyHeads, group·chunk, chunk]
  const before = readSums(query, prefix);
  const own = (x: Tensor) => asQueries(x, queries, group);
  const mass = () => {
    const ofKeys = multiply(slice(key, -1, map.featureCount - 1), weight);
    return repeatRows(add(cumulativeSum(ofKeys, 2), massOf(prefix.weights)), group);
  };
  return {
    next: { sums: addSums(prefix, sumsOf(keys, weight)), scale },
    terms: {
      numerator: own(add(matmul(scores, multiply(keys.value, weight)), before.numerator)),
      denominator: own(add(matmul(scores, weight), before.denominator)),
      logScale: own(add(queryScale(queries, group), subtract(scale, Math.log(headroom)))),
      mass: map.isSigned ? own(mass()) : undefined,
      seen: isLogarithmic ? own(add(matmul(tril, weight), sum(prefix.weights, -1, true))) : undefined,
    },
    saved: { weight, ...prefix, decay },
  };
}

export interface ChunkGradientInputs {
  /** Of the numerators [batch, chunk, heads, dim] and the denominators [batch, chunk, heads, 1]. */
  readonly gNumerator: Tensor;
  readonly gDenominator: Tensor;
  /** Of the scales of the queries [batch, chunk, heads, 1], where these count. */
  readonly gScale?: Tensor | undefined;
  /** Z */
  readonly later: Tensor;
}

export interface ChunkGradients {
  /** [batch, chunk, heads or keyHeads, ·] */
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** Of the scales of the keys, whether a map has these or not: [batch, chunk, keyHeads, 1]. */
  readonly keyScale: Tensor;
  /** Of the map's learned tensors, in their order. */
  readonly learned: readonly Tensor[];
  /** Z of the chunk before. */
  readonly earlier: Tensor;
}

/** The gradients of a chunk, given those of its sums and Z; the features are computed again. */
export function chunkGradients(
  form: ChunkForm,
  tokens: ChunkTokens,
  { weight, values, weights, decay }: ChunkSaved,
  { gNumerator, gDenominator, gScale, later }: ChunkGradientInputs,
): ChunkGradients {
  const { map, tril, group } = form;
  const [queries, keys] = [queryRows(map, tokens, group), keyRows(map, tokens)];
  const [query, key] = [queries.values, keys.features.values];
  const weighted = multiply(keys.value, weight);
  const extended = concatenate([weighted, weight], -1); // Ṽ
  const [numerator, denominator] = [gNumerator, gDenominator].map((x) => gatherHeads(swapHeads(x), group)) as [
    Tensor,
    Tensor,
  ];
  const g = concatenate([numerator, denominator], -1); // G
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril);
  const gScores = multiply(matmul(g, extended, { transposeRight: true }), tril);
  const gQuery = add(matmul(gScores, key), matmul(g, joinSums({ values, weights })));
  const gKey = add(matmul(gScores, query, { transposeLeft: true }), matmul(extended, later));
  const ofLater = readSums(key, splitSums(later));
  const gValue = add(matmul(scores, numerator, { transposeLeft: true }), ofLater.numerator);
  const gWeight = add(matmul(scores, denominator, { transposeLeft: true }), ofLater.denominator);
  const keyScale = add(sum(multiply(weighted, gValue), -1, true), multiply(weight, gWeight));
  return {
    ...chunkTokenGradients(form, queries, keys, {
      query: gQuery,
      queryScale: gScale,
      key: gKey,
      keyScale,
    }),
    value: swapHeads(multiply(gValue, weight)),
    earlier: multiply(add(later, matmul(g, query, { transposeLeft: true })), decay),
  };
}

/** From the features of a chunk back to its tokens. */
export function chunkTokenGradients(
  { map, group, isLogarithmic }: ChunkForm,
  queries: QueryRows,
  keys: KeyRows,
  g: {
    /** [batch, keyHeads, rows, features] */
    readonly query: Tensor;
    readonly key: Tensor;
    /** [batch, chunk, heads, 1], where the scales of the queries count. */
    readonly queryScale: Tensor | undefined;
    /** [batch, keyHeads, chunk, 1] */
    readonly keyScale: Tensor;
  },
): Pick<ChunkGradients, 'query' | 'key' | 'keyScale' | 'learned'> {
  const ofQuery = {
    values: asQueries(g.query, queries, group),
    logScale: g.queryScale === undefined ? undefined : swapHeads(g.queryScale),
  };
  const results = [
    ...queryResults(queries, ofQuery, isLogarithmic),
    ...keyResults(keys, g.key, g.keyScale, isLogarithmic),
  ];
  const { tokens, learned } = tokenGradients(results, [queries.rows, keys.rows], map);
  return { query: tokens[0]!, key: tokens[1]!, keyScale: swapHeads(g.keyScale), learned };
}

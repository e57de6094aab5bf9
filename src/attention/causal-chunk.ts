/**
 * One chunk of causal FAVOR+: what it adds to the sums of the keys before, its outputs, and their gradients.
 *
 * With values extended by a column of ones, Ṽ = [V, 1], weighted by e^{logScale − R}, R the largest scale of a key so far,
 * and P = e^{R_before − R} S the sums of the chunks before,
 *
 *   [num, den] = tril(Q Kᵀ) Ṽ + Q P,    S ← P + Kᵀ Ṽ.
 *
 * With G the gradient of [num, den] and Z that of S after the chunk, summed over all later chunks,
 *
 *   dQ = tril(G Ṽᵀ) K + G Pᵀ;   dK = tril(G Ṽᵀ)ᵀ Q + Ṽ Zᵀ;   dṼ = tril(Q Kᵀ)ᵀ G + K Z;   Z ← e^{R_before − R} (Z + Qᵀ G).
 *
 * R cancels exactly in num/den and needs no gradient. Axes: [batch, heads, chunk, ·]; rows come as [batch, chunk, heads, ·].
 */
import type { FeatureMap } from '../features/index.js';
import {
  add,
  cast,
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
import { lastEntry } from './guard.js';
import { swapHeads } from './layout.js';
import { normalizeOutput, weightedGradient } from './normalize.js';
import {
  extend,
  type KeyTokens,
  keyResults,
  keyRows,
  orNothing,
  type QueryTokens,
  queryResults,
  queryRows,
} from './rows.js';

export interface ChunkTokens extends QueryTokens, KeyTokens {
  /** [batch, 1, chunk, 1]: false for queries that see no key. */
  readonly visible?: Tensor;
}

export interface ChunkForm {
  /** Guarded. */
  readonly map: FeatureMap;
  /** 1 where a key is at or before the query: [chunk, chunk]. */
  readonly tril: Tensor;
  /** Whether the features have logarithms, which then get the gradients. */
  readonly isLogarithmic: boolean;
}

/** S [batch, heads, features, dim + 1] with the headroom in it, R and the weight of all keys so far, [batch, heads, 1, 1]. */
export interface ChunkState {
  readonly sum: Tensor;
  readonly scale: Tensor;
  readonly seen: Tensor;
}

export interface ChunkResult {
  readonly next: ChunkState;
  /** [batch, chunk, heads, dim] */
  readonly output: Tensor;
  /** What the gradient needs: 1/den [batch, heads, chunk, 1], P, R, and where a guarded denominator is the row's own. */
  readonly saved: ChunkSaved;
  /** The weight of the keys that each row sees: [batch, heads, chunk, 1]. */
  readonly seen: Tensor;
}

export interface ChunkSaved {
  readonly inverse: Tensor;
  readonly prefix: Tensor;
  readonly scale: Tensor;
  readonly decay: Tensor;
  readonly isOwn?: Tensor;
}

/** Reads a chunk after a state. */
export function readChunk(form: ChunkForm, state: ChunkState, tokens: ChunkTokens): ChunkResult {
  const { map, tril } = form;
  const query = queryRows(map, tokens).features.values;
  const keys = keyRows(map, tokens);
  const key = keys.features.values;
  const scale = maximum(state.scale, max(keys.logScale, 2, true));
  const decay = exp(subtract(state.scale, scale)); // [batch, heads, 1, 1]
  const { extended, weight } = extend(keys, scale);
  const prefix = multiply(state.sum, decay); // P
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril); // [batch, heads, chunk, chunk]
  const weighted = add(matmul(scores, extended), matmul(query, prefix)); // [batch, heads, chunk, dim + 1]
  const mass = map.isSigned
    ? add(cumulativeSum(multiply(slice(key, -1, map.featureCount - 1), weight), 2), lastEntry(prefix))
    : undefined;
  const { output, inverse, isOwn } = normalizeOutput(weighted, { visible: tokens.visible, mass });
  const before = multiply(state.seen, decay);
  return {
    next: {
      sum: add(prefix, matmul(key, extended, { transposeLeft: true })),
      scale,
      seen: add(before, sum(weight, 2, true)),
    },
    output: swapHeads(output),
    saved: { inverse, prefix, scale, decay, ...(isOwn === undefined ? {} : { isOwn: cast(isOwn, 'int32') }) },
    seen: add(matmul(tril, weight), before),
  };
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

/** The gradients of a chunk, given those of its outputs [batch, chunk, heads, dim] and Z; the features are computed again. */
export function chunkGradients(
  form: ChunkForm,
  tokens: ChunkTokens,
  { inverse, prefix, scale, decay, isOwn }: ChunkSaved,
  { output, gOutput, later }: { readonly output: Tensor; readonly gOutput: Tensor; readonly later: Tensor },
): ChunkGradients {
  const { map, tril, isLogarithmic } = form;
  const [queries, keys] = [queryRows(map, tokens), keyRows(map, tokens)];
  const [query, key] = [queries.features.values, keys.features.values];
  const dim = keys.value.staticDim(-1);
  const { extended, weight } = extend(keys, scale);
  const owned = isOwn === undefined ? undefined : cast(isOwn, 'bool');
  const g = weightedGradient(swapHeads(gOutput), swapHeads(output), inverse, owned); // G
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril);
  const gScores = multiply(matmul(g, extended, { transposeRight: true }), tril);
  const gQuery = add(matmul(gScores, key), matmul(g, prefix, { transposeRight: true }));
  const gKey = add(matmul(gScores, query, { transposeLeft: true }), matmul(extended, later, { transposeRight: true }));
  const gExtended = add(matmul(scores, g, { transposeLeft: true }), matmul(key, later));
  const learned = map.learned ?? [];
  const results = [
    ...queryResults(queries.features, gQuery, isLogarithmic),
    ...keyResults(keys.features, gKey, sum(multiply(extended, gExtended), -1, true), isLogarithmic),
  ];
  const [ofQuery, ofKey, ...rest] = pullback(results, [queries.rows, keys.rows, ...learned]);
  return {
    query: swapHeads(orNothing(ofQuery, queries.rows)),
    key: swapHeads(orNothing(ofKey, keys.rows)),
    value: swapHeads(multiply(slice(gExtended, -1, 0, dim), weight)),
    learned: learned.map((like, index) => orNothing(rest[index], like)),
    earlier: multiply(add(later, matmul(query, g, { transposeLeft: true })), decay),
  };
}

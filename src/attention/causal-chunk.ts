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
import type { FeatureMap, Features } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  cumulativeSum,
  exp,
  matmul,
  max,
  maximum,
  multiply,
  pullback,
  scalar,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import { lastEntry } from './guard.js';
import { swapHeads } from './layout.js';
import { isLossy } from './loss.js';
import { normalizeOutput, weightedGradient } from './normalize.js';
import { headroom, maskedLogScale } from './state.js';

export interface ChunkTokens {
  /** [batch, chunk, heads, dim] */
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** [batch, 1, chunk, 1]: false for keys that are hidden, and for padding. */
  readonly mask?: Tensor;
  /** [batch, 1, chunk, 1]: false for queries that see no key. */
  readonly visible?: Tensor;
  /** [batch, chunk, 1, 1], for features that use positions. */
  readonly queryPosition?: Tensor;
  readonly keyPosition?: Tensor;
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

interface Weighed {
  readonly rows: { readonly query: Tensor; readonly key: Tensor };
  readonly query: Features;
  readonly key: Features;
  /** [batch, heads, chunk, 1] */
  readonly logScale: Tensor;
  readonly value: Tensor;
}

/** The features of a chunk's rows. */
function weigh({ map }: ChunkForm, tokens: ChunkTokens): Weighed {
  const position = (x: Tensor | undefined) => (x === undefined ? undefined : swapHeads(x));
  const rows = { query: swapHeads(tokens.query), key: swapHeads(tokens.key) };
  const query = map.query(rows.query, position(tokens.queryPosition));
  const key = map.key(rows.key, position(tokens.keyPosition));
  const value = swapHeads(tokens.value);
  const plain = key.logScale ?? broadcastTo(scalar(0), [...value.shape.slice(0, 3), 1]);
  const logScale = tokens.mask === undefined ? plain : where(tokens.mask, plain, scalar(maskedLogScale));
  return { rows, query, key, logScale, value };
}

/** Ṽ, and the weights in its last column. */
function extend({ value, logScale }: Weighed, scale: Tensor): { extended: Tensor; weight: Tensor } {
  const weight = multiply(exp(subtract(logScale, scale)), headroom); // [batch, heads, chunk, 1]
  return { extended: concatenate([multiply(value, weight), weight], -1), weight };
}

export interface ChunkResult {
  readonly next: ChunkState;
  /** [batch, chunk, heads, dim] */
  readonly output: Tensor;
  /** What the gradient needs: 1/den [batch, heads, chunk, 1], P, R, and where a guarded denominator is the row's own. */
  readonly saved: ChunkSaved;
  /** Whether float32 lost weights that count: int32 scalar, of maps with logarithms. */
  readonly isLossy?: Tensor;
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
  const { map, tril, isLogarithmic } = form;
  const weighed = weigh(form, tokens);
  const [query, key] = [weighed.query.values, weighed.key.values];
  const dim = weighed.value.staticDim(-1);
  const scale = maximum(state.scale, max(weighed.logScale, 2, true));
  const decay = exp(subtract(state.scale, scale)); // [batch, heads, 1, 1]
  const { extended, weight } = extend(weighed, scale);
  const prefix = multiply(state.sum, decay); // P
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril); // [batch, heads, chunk, chunk]
  const weighted = add(matmul(scores, extended), matmul(query, prefix)); // [batch, heads, chunk, dim + 1]
  const mass = map.isSigned
    ? add(cumulativeSum(multiply(slice(key, -1, map.featureCount - 1), weight), 2), lastEntry(prefix))
    : undefined;
  const { output, inverse, isOwn } = normalizeOutput(weighted, { visible: tokens.visible, mass });
  const before = multiply(state.seen, decay);
  const lossy = isLogarithmic
    ? isLossy(weighted, slice(weighted, -1, dim), add(matmul(tril, weight), before), map.featureCount, tokens.visible)
    : undefined;
  return {
    next: {
      sum: add(prefix, matmul(key, extended, { transposeLeft: true })),
      scale,
      seen: add(before, sum(weight, 2, true)),
    },
    output: swapHeads(output),
    saved: { inverse, prefix, scale, decay, ...(isOwn === undefined ? {} : { isOwn: cast(isOwn, 'int32') }) },
    ...(lossy === undefined ? {} : { isLossy: cast(lossy, 'int32') }),
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
  const weighed = weigh(form, tokens);
  const [query, key] = [weighed.query.values, weighed.key.values];
  const dim = weighed.value.staticDim(-1);
  const { extended, weight } = extend(weighed, scale);
  const owned = isOwn === undefined ? undefined : cast(isOwn, 'bool');
  const g = weightedGradient(swapHeads(gOutput), swapHeads(output), inverse, owned); // G
  const scores = multiply(matmul(query, key, { transposeRight: true }), tril);
  const gScores = multiply(matmul(g, extended, { transposeRight: true }), tril);
  const gQuery = add(matmul(gScores, key), matmul(g, prefix, { transposeRight: true }));
  const gKey = add(matmul(gScores, query, { transposeLeft: true }), matmul(extended, later, { transposeRight: true }));
  const gExtended = add(matmul(scores, g, { transposeLeft: true }), matmul(key, later));
  const { logScale } = weighed.key;
  const results: readonly (readonly [Tensor, Tensor])[] = isLogarithmic
    ? [
        [weighed.query.logValues!, multiply(query, gQuery)],
        [weighed.key.logFeatures!, multiply(key, gKey)],
      ]
    : [
        [query, gQuery],
        [key, gKey],
        ...(logScale === undefined ? [] : [[logScale, sum(multiply(extended, gExtended), -1, true)] as const]),
      ];
  const learned = map.learned ?? [];
  const [queryRows, keyRows, ...rest] = pullback(results, [weighed.rows.query, weighed.rows.key, ...learned]);
  const orNothing = (gradient: Tensor | undefined, like: Tensor) => gradient ?? broadcastTo(scalar(0), like.shape);
  return {
    query: swapHeads(orNothing(queryRows, weighed.rows.query)),
    key: swapHeads(orNothing(keyRows, weighed.rows.key)),
    value: swapHeads(multiply(slice(gExtended, -1, 0, dim), weight)),
    learned: learned.map((like, index) => orNothing(rest[index], like)),
    earlier: multiply(add(later, matmul(query, g, { transposeLeft: true })), decay),
  };
}

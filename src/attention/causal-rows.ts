/**
 * One chunk of causal FAVOR+ for maps whose keys have scales of their own and no logarithms (trigonometric features): with
 * one scale for the chunk, a large key would take the weights of all that came before it. Each row has its own instead.
 *
 * With the scales s_j of the keys, R_before that of the sums S before, and r_i = max(R_before, max_{j≤i} s_j),
 *
 *   D_ij = e^{s_j − r_i} for j ≤ i, else 0;   c_i = e^{R_before − r_i};   [num, den] = (Q Kᵀ ∘ D) [V, 1] + c ∘ (Q Sᵀ).
 *
 * With G the gradient of [num, den], w_j = e^{s_j − R} and Z the gradient of S after the chunk, at the scale R,
 *
 *   B = G [V, 1]ᵀ ∘ D;   dQ = B K + (c∘G) S;   dK = Bᵀ Q + w∘([V, 1] Z);   d[V, 1] = (Q Kᵀ ∘ D)ᵀ G + w∘(K Zᵀ);
 *   ds_j = Σ_i (Q Kᵀ)_ij B_ij + w_j [v_j, 1]·(Z k_j);   Z ← e^{R_before − R} Z + (c∘G)ᵀ Q.
 *
 * No factor exceeds 1, and r and R cancel. An output depends on nothing that comes later. Axes: [batch, heads, chunk, ·].
 */
import {
  add,
  cast,
  concatenate,
  exp,
  less,
  matmul,
  max,
  maximum,
  multiply,
  pullback,
  reshape,
  scalar,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import type {
  ChunkForm,
  ChunkGradientInputs,
  ChunkGradients,
  ChunkResult,
  ChunkSaved,
  ChunkState,
  ChunkTokens,
} from './causal-chunk.js';
import { massOf } from './guard.js';
import { swapHeads, withOnes } from './layout.js';
import { normalize, weightedGradient } from './normalize.js';
import { keyResults, keyRows, orNothing, queryResults, queryRows } from './rows.js';
import { maskedLogScale } from './state.js';
import { addSums, joinSums, readSums, scaleSums, splitSums, sumsOf, weightsOf } from './sums.js';

/** D [batch, heads, chunk, chunk] and c [batch, heads, chunk, 1]. */
function rowWeights(logScale: Tensor, past: Tensor, tril: Tensor): { within: Tensor; before: Tensor } {
  const [batch, heads, chunk] = logScale.shape;
  const row = reshape(logScale, [batch!, heads!, 1, chunk!]);
  const seen = where(less(0, tril), row, scalar(maskedLogScale));
  const top = maximum(max(seen, -1, true), past);
  return { within: exp(subtract(seen, top)), before: exp(subtract(past, top)) };
}

/** Reads a chunk after a state. */
export function readRows({ map, tril }: ChunkForm, state: ChunkState, tokens: ChunkTokens): ChunkResult {
  const query = queryRows(map, tokens).features.values;
  const keys = keyRows(map, tokens);
  const key = keys.features.values;
  const scale = maximum(state.scale, max(keys.logScale, 2, true));
  const decay = exp(subtract(state.scale, scale));
  const weight = weightsOf(keys.logScale, scale, 1);
  const { within, before } = rowWeights(keys.logScale, state.scale, tril);
  const scores = multiply(matmul(query, key, { transposeRight: true }), within);
  const { numerator, denominator } = readSums(query, state.sums);
  const mass = map.isSigned
    ? add(matmul(within, massOf(key)), multiply(before, massOf(state.sums.weights)))
    : undefined;
  const { output, inverse, isOwn } = normalize(
    add(matmul(scores, keys.value), multiply(before, numerator)),
    add(sum(scores, -1, true), multiply(before, denominator)),
    { visible: tokens.visible, mass },
  );
  return {
    next: { sums: addSums(scaleSums(state.sums, decay), sumsOf(keys, weight)), scale },
    output,
    saved: {
      inverse,
      weight,
      ...state.sums,
      decay,
      past: state.scale,
      isOwn: isOwn && cast(isOwn, 'int32'),
    },
  };
}

/** The gradients of a chunk, given its outputs, their gradients and Z; the features are computed again. */
export function rowGradients(
  { map, tril, isLogarithmic }: ChunkForm,
  tokens: ChunkTokens,
  { inverse, weight, values, weights, decay, past, isOwn }: ChunkSaved,
  { output, gOutput, later }: ChunkGradientInputs,
): ChunkGradients {
  const [queries, keys] = [queryRows(map, tokens), keyRows(map, tokens)];
  const [query, key] = [queries.features.values, keys.features.values];
  const { within, before } = rowWeights(keys.logScale, past!, tril);
  const extended = withOnes(keys.value); // [V, 1]
  const g = weightedGradient({
    gradient: swapHeads(gOutput),
    output,
    inverse,
    isOwn: isOwn && cast(isOwn, 'bool'),
  }); // G
  const products = matmul(query, key, { transposeRight: true }); // Q Kᵀ
  const gProducts = multiply(matmul(g, extended, { transposeRight: true }), within); // B
  const gBefore = multiply(g, before);
  const gQuery = add(matmul(gProducts, key), matmul(gBefore, joinSums({ values, weights })));
  const gKey = add(matmul(gProducts, query, { transposeLeft: true }), matmul(multiply(extended, weight), later));
  const ofLater = readSums(key, splitSums(later));
  const gLater = multiply(concatenate([ofLater.numerator, ofLater.denominator], -1), weight); // w∘(K Zᵀ)
  const gExtended = add(matmul(multiply(products, within), g, { transposeLeft: true }), gLater);
  const ofScores = sum(multiply(products, gProducts), -2, true); // [batch, heads, 1, chunk]
  const gScale = add(reshape(ofScores, keys.logScale.shape), sum(multiply(extended, gLater), -1, true));
  const learned = map.learned ?? [];
  const results = [
    ...queryResults(queries.features, gQuery, isLogarithmic),
    ...keyResults(keys.features, gKey, gScale, isLogarithmic),
  ];
  const [ofQuery, ofKey, ...rest] = pullback(results, [queries.rows, keys.rows, ...learned]);
  return {
    query: swapHeads(orNothing(ofQuery, queries.rows)),
    key: swapHeads(orNothing(ofKey, keys.rows)),
    value: swapHeads(slice(gExtended, -1, 0, gExtended.staticDim(-1) - 1)),
    learned: learned.map((like, index) => orNothing(rest[index], like)),
    earlier: add(multiply(later, decay), matmul(gBefore, query, { transposeLeft: true })),
  };
}

/**
 * One chunk of causal FAVOR+ in which each row has a scale of its own: for maps whose keys have scales and no logarithms
 * (trigonometric features), where with one scale for the chunk a large key would take the weights of all that came before it,
 * and for keys that decay, where it would take those of all that come after it.
 *
 *   Q, K, V  the features of queries and keys, and the values
 *   L_i      the sum of the logDecay of the tokens of the chunk up to i; 0 where keys do not decay
 *   s_j      the scale of key j, less L_j
 *   R        the largest s_j so far; R_before that without this chunk
 *   S        the sums of all keys before the chunk, at the scale R_before
 *   r_i      max(R_before, max_{j≤i} s_j): with L_i, the scale of row i
 *   D_ij     e^{s_j − r_i} for j ≤ i, else 0
 *   c_i      e^{R_before − r_i}
 *   w_j      e^{s_j − R}
 *   h        what weights are raised by (state.ts), which S and w have in them
 *   G, Z     the gradients of [num, den], and of S after the chunk at the scale R
 *
 *   [num, den] = h(Q Kᵀ ∘ D) [V, 1] + c ∘ (Q Sᵀ)
 *   B = hG [V, 1]ᵀ ∘ D;   dQ = B K + (c∘G) S;   dK = Bᵀ Q + w∘([V, 1] Z);   d[V, 1] = h(Q Kᵀ ∘ D)ᵀ G + w∘(K Zᵀ);
 *   ds_j = Σ_i (Q Kᵀ)_ij B_ij + w_j [v_j, 1]·(Z k_j);   Z ← e^{R_before − R} Z + (c∘G)ᵀ Q
 *
 * Row i weighs key j by e^{L_i − L_j}, of which L_i is a factor of the row and goes into its scale; that of the last row goes
 * into the scale of the state, which is R + L there. No factor exceeds 1, however fast the decay, and r and R are taken as
 * constants. An output depends on nothing that comes later. Axes: [batch, keyHeads, rows, ·].
 */
import type { FeatureMap } from '../features/index.js';
import {
  add,
  concatenate,
  exp,
  less,
  matmul,
  max,
  maximum,
  multiply,
  reshape,
  scalar,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import {
  type ChunkForm,
  type ChunkGradientInputs,
  type ChunkGradients,
  type ChunkResult,
  type ChunkSaved,
  type ChunkState,
  type ChunkTokens,
  chunkTokenGradients,
} from './causal-chunk.js';
import { massOf } from './guard.js';
import { gatherHeads, repeatRows } from './heads.js';
import { swapHeads, withOnes } from './layout.js';
import { asQueries, type KeyRows, keyRows, queryRows, queryScale, turned } from './rows.js';
import { maskedLogScale, raiseBy } from './state.js';
import { addSums, joinSums, readSums, scaleSums, splitSums, sumsOf, weightsOf } from './sums.js';

/** D [batch, keyHeads, group·chunk, chunk], and c and r [batch, keyHeads, group·chunk, 1]. */
function rowWeights(
  logScale: Tensor,
  past: Tensor,
  tril: Tensor,
): { within: Tensor; before: Tensor; rowScale: Tensor } {
  const [batch, heads, chunk] = logScale.shape;
  const row = reshape(logScale, [batch!, heads!, 1, chunk!]);
  const seen = where(less(0, tril), row, scalar(maskedLogScale));
  const rowScale = maximum(max(seen, -1, true), past);
  return { within: exp(subtract(seen, rowScale)), before: exp(subtract(past, rowScale)), rowScale };
}

/** L [batch, keyHeads, chunk, 1], if keys decay, and the rows of the keys at the scales s. */
function decayingKeys(map: FeatureMap, tokens: ChunkTokens): { decay: Tensor | undefined; keys: KeyRows } {
  const keys = keyRows(map, tokens);
  const decay = turned(tokens.decaySoFar);
  return { decay, keys: decay === undefined ? keys : { ...keys, logScale: subtract(keys.logScale, decay) } };
}

/** Reads a chunk after a state. */
export function readRows(
  { map, group, tril, isLogarithmic, headroom }: ChunkForm,
  state: ChunkState,
  tokens: ChunkTokens,
): ChunkResult {
  const queries = queryRows(map, tokens, group);
  const { keys, decay } = decayingKeys(map, tokens);
  const [query, key] = [queries.values, keys.features.values];
  const top = maximum(state.scale, max(keys.logScale, 2, true));
  const kept = exp(subtract(state.scale, top));
  const weight = weightsOf(keys.logScale, top, headroom);
  const { within, before, rowScale } = rowWeights(keys.logScale, state.scale, tril);
  const scores = multiply(matmul(query, key, { transposeRight: true }), within);
  const past = readSums(query, state.sums);
  const own = (x: Tensor) => asQueries(x, queries, group);
  const withPast = (ofChunk: Tensor, ofPast: Tensor) => own(add(ofChunk, multiply(before, ofPast)));
  const decayed = (scale: Tensor) => (decay === undefined ? scale : add(scale, repeatRows(decay, group)));
  return {
    next: {
      sums: addSums(scaleSums(state.sums, kept), sumsOf(keys, weight)),
      scale: decay === undefined ? top : add(top, slice(decay, 2, tril.staticDim(1) - 1)),
    },
    terms: {
      numerator: withPast(matmul(scores, raiseBy(keys.value, headroom)), past.numerator),
      denominator: withPast(raiseBy(sum(scores, -1, true), headroom), past.denominator),
      logScale: own(add(queryScale(queries, group), subtract(decayed(rowScale), Math.log(headroom)))),
      mass: map.isSigned ? withPast(matmul(within, massOf(key)), massOf(state.sums.weights)) : undefined,
      seen: isLogarithmic
        ? withPast(raiseBy(sum(within, -1, true), headroom), sum(state.sums.weights, -1, true))
        : undefined,
    },
    saved: { weight, ...state.sums, decay: kept, past: state.scale },
  };
}

/** The gradients of a chunk, given those of its sums and Z; the features are computed again. */
export function rowGradients(
  form: ChunkForm,
  tokens: ChunkTokens,
  { weight, values, weights, decay, past }: ChunkSaved,
  { gNumerator, gDenominator, gScale, later }: ChunkGradientInputs,
): ChunkGradients {
  const { map, group, tril, headroom } = form;
  const queries = queryRows(map, tokens, group);
  const { keys } = decayingKeys(map, tokens);
  const [query, key] = [queries.values, keys.features.values];
  const { within, before } = rowWeights(keys.logScale, past!, tril);
  const extended = withOnes(keys.value); // [V, 1]
  const g = gatherHeads(swapHeads(concatenate([gNumerator, gDenominator], -1)), group); // G
  const products = matmul(query, key, { transposeRight: true }); // Q Kᵀ
  const gProducts = multiply(matmul(raiseBy(g, headroom), extended, { transposeRight: true }), within); // B
  const gBefore = multiply(g, before);
  const ofLater = readSums(key, splitSums(later));
  const gLater = multiply(concatenate([ofLater.numerator, ofLater.denominator], -1), weight); // w∘(K Zᵀ)
  const gExtended = add(raiseBy(matmul(multiply(products, within), g, { transposeLeft: true }), headroom), gLater);
  const ofScores = sum(multiply(products, gProducts), -2, true); // [batch, keyHeads, 1, chunk]
  return {
    ...chunkTokenGradients(form, queries, keys, {
      query: add(matmul(gProducts, key), matmul(gBefore, joinSums({ values, weights }))),
      queryScale: gScale,
      key: add(matmul(gProducts, query, { transposeLeft: true }), matmul(multiply(extended, weight), later)),
      keyScale: add(reshape(ofScores, keys.logScale.shape), sum(multiply(extended, gLater), -1, true)),
    }),
    value: swapHeads(slice(gExtended, -1, 0, gExtended.staticDim(-1) - 1)),
    earlier: add(multiply(later, decay), matmul(gBefore, query, { transposeLeft: true })),
  };
}

/**
 * One chunk of causal FAVOR+ for maps whose keys have scales of their own and no logarithms (trigonometric features): with
 * one scale for the chunk, a large key would take the weights of all that came before it. Each row has its own instead.
 *
 *   Q, K, V  the features of queries and keys, and the values
 *   s_j      the scale of key j
 *   R        the largest scale so far; R_before that without this chunk
 *   S        the sums of all keys before the chunk, at the scale R_before
 *   r_i      max(R_before, max_{j≤i} s_j), the scale of row i
 *   D_ij     e^{s_j − r_i} for j ≤ i, else 0
 *   c_i      e^{R_before − r_i}
 *   w_j      e^{s_j − R}
 *   G, Z     the gradients of [num, den], and of S after the chunk at the scale R
 *
 *   [num, den] = (Q Kᵀ ∘ D) [V, 1] + c ∘ (Q Sᵀ)
 *   B = G [V, 1]ᵀ ∘ D;   dQ = B K + (c∘G) S;   dK = Bᵀ Q + w∘([V, 1] Z);   d[V, 1] = (Q Kᵀ ∘ D)ᵀ G + w∘(K Zᵀ);
 *   ds_j = Σ_i (Q Kᵀ)_ij B_ij + w_j [v_j, 1]·(Z k_j);   Z ← e^{R_before − R} Z + (c∘G)ᵀ Q
 *
 * No factor exceeds 1, and r and R are taken as constants. An output depends on nothing that comes later. Axes:
 * [batch, keyHeads, rows, ·].
 */
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
import { gatherHeads } from './heads.js';
import { swapHeads, withOnes } from './layout.js';
import { asQueries, keyRows, queryRows, queryScale } from './rows.js';
import { maskedLogScale } from './state.js';
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

/** Reads a chunk after a state. */
export function readRows({ map, group, tril }: ChunkForm, state: ChunkState, tokens: ChunkTokens): ChunkResult {
  const queries = queryRows(map, tokens, group);
  const keys = keyRows(map, tokens);
  const [query, key] = [queries.values, keys.features.values];
  const scale = maximum(state.scale, max(keys.logScale, 2, true));
  const decay = exp(subtract(state.scale, scale));
  const weight = weightsOf(keys.logScale, scale, 1);
  const { within, before, rowScale } = rowWeights(keys.logScale, state.scale, tril);
  const scores = multiply(matmul(query, key, { transposeRight: true }), within);
  const past = readSums(query, state.sums);
  const own = (x: Tensor) => asQueries(x, queries, group);
  const mass = () => add(matmul(within, massOf(key)), multiply(before, massOf(state.sums.weights)));
  return {
    next: { sums: addSums(scaleSums(state.sums, decay), sumsOf(keys, weight)), scale },
    terms: {
      numerator: own(add(matmul(scores, keys.value), multiply(before, past.numerator))),
      denominator: own(add(sum(scores, -1, true), multiply(before, past.denominator))),
      logScale: own(add(queryScale(queries, group), rowScale)),
      mass: map.isSigned ? own(mass()) : undefined,
    },
    saved: { weight, ...state.sums, decay, past: state.scale },
  };
}

/** The gradients of a chunk, given those of its sums and Z; the features are computed again. */
export function rowGradients(
  form: ChunkForm,
  tokens: ChunkTokens,
  { weight, values, weights, decay, past }: ChunkSaved,
  { gNumerator, gDenominator, gScale, later }: ChunkGradientInputs,
): ChunkGradients {
  const { map, group, tril } = form;
  const [queries, keys] = [queryRows(map, tokens, group), keyRows(map, tokens)];
  const [query, key] = [queries.values, keys.features.values];
  const { within, before } = rowWeights(keys.logScale, past!, tril);
  const extended = withOnes(keys.value); // [V, 1]
  const g = gatherHeads(swapHeads(concatenate([gNumerator, gDenominator], -1)), group); // G
  const products = matmul(query, key, { transposeRight: true }); // Q Kᵀ
  const gProducts = multiply(matmul(g, extended, { transposeRight: true }), within); // B
  const gBefore = multiply(g, before);
  const ofLater = readSums(key, splitSums(later));
  const gLater = multiply(concatenate([ofLater.numerator, ofLater.denominator], -1), weight); // w∘(K Zᵀ)
  const gExtended = add(matmul(multiply(products, within), g, { transposeLeft: true }), gLater);
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

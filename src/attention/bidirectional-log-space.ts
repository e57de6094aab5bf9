/**
 * Bidirectional FAVOR+ in log space: the form that no size of queries and keys can break.
 *
 *   a_q, a_k  the log-features of queries and keys
 *   M_f       max_j a_k,jf, the maximum of each feature over the keys
 *   k, S      the weights of the keys, and their sums
 *   p_i       the weights of the features for query i
 *   G, Z      the gradients of [num, den] and of S
 *
 *   k_jf = e^{a_k,jf − M_f};   S = kᵀ [V, 1];   p_i = softmax(a_q,i + M);   [num, den] = p S, at the scale logSumExp(a_q,i + M);
 *   ∂a_q = p ∘ (G Sᵀ);   Z = pᵀ G;   ∂a_k = k ∘ ([V, 1] Zᵀ);   ∂V = (k Z) without its last column.
 *
 * Every S_f has a denominator of at least 1, and a row has a p of at least 1/features, so den ≥ 1/features. Some passes
 * over [keys, features] more than the fast form (bidirectional.ts), which calls it where float32 has lost something.
 */
import {
  add,
  exp,
  logSumExp,
  matmul,
  max,
  maximum,
  multiply,
  slice,
  softmax,
  subtract,
  type Tensor,
} from '../graph/index.js';
import { withOnes } from './layout.js';
import { emptyLogScale } from './state.js';

export interface LogSpaceInputs {
  /** Log-features [batch, keyHeads, group·queries, features] */
  readonly query: Tensor;
  /** Log-features [batch, keyHeads, keys, features]; those of a hidden key are maskedLogScale. */
  readonly key: Tensor;
  /** [batch, keyHeads, keys, dim] */
  readonly value: Tensor;
}

/** M: [batch, keyHeads, 1, features] */
function topOf(key: Tensor): Tensor {
  return maximum(max(key, 2, true), emptyLogScale);
}

function weights({ query, key, value }: LogSpaceInputs) {
  const top = topOf(key);
  const keyWeight = exp(subtract(key, top)); // k
  const extended = withOnes(value);
  const sums = matmul(keyWeight, extended, { transposeLeft: true }); // S: [batch, keyHeads, features, dim + 1]
  return { keyWeight, extended, sums, queryWeight: softmax(add(query, top)) };
}

/** [num, den], [batch, keyHeads, group·queries, dim + 1]. */
export function logSpaceBidirectional(inputs: LogSpaceInputs): Tensor {
  const { queryWeight, sums } = weights(inputs);
  return matmul(queryWeight, sums);
}

/** The scales of [num, den], [batch, keyHeads, group·queries, 1]. */
export function logSpaceBidirectionalScale({ query, key }: Omit<LogSpaceInputs, 'value'>): Tensor {
  return logSumExp(add(query, topOf(key)), -1, true);
}

/** The gradients of the log-features of queries and keys and of the values, given G [batch, keyHeads, group·queries, dim + 1]. */
export function logSpaceBidirectionalGradient(
  inputs: LogSpaceInputs,
  gWeighted: Tensor,
): { readonly query: Tensor; readonly key: Tensor; readonly value: Tensor } {
  const { keyWeight, extended, sums, queryWeight } = weights(inputs);
  const gSums = matmul(queryWeight, gWeighted, { transposeLeft: true }); // Z
  return {
    query: multiply(queryWeight, matmul(gWeighted, sums, { transposeRight: true })),
    key: multiply(keyWeight, matmul(extended, gSums, { transposeRight: true })),
    value: slice(matmul(keyWeight, gSums), -1, 0, inputs.value.staticDim(-1)),
  };
}

/**
 * Bidirectional FAVOR+ in log space: the form that no size of queries and keys can break.
 *
 * With log-features a, the maximum M_f = max_j a_k,jf of each feature over the keys, and G the gradient of [num, den],
 *
 *   k_jf = e^{a_k,jf − M_f};   S = kᵀ [V, 1];   p_i = softmax(a_q,i + M);   [num, den] = p S;
 *   ∂a_q = p ∘ (G Sᵀ);   Z = pᵀ G;   ∂a_k = k ∘ ([V, 1] Zᵀ);   ∂V = (k Z) without its last column.
 *
 * Every S_f has a denominator of at least 1, and a row has a p of at least 1/features, so den ≥ 1/features. Some passes
 * over [keys, features] more than the fast form (bidirectional.ts), which calls it where float32 has lost something.
 */
import { add, exp, matmul, max, maximum, multiply, slice, softmax, subtract, type Tensor } from '../graph/index.js';
import { withOnes } from './layout.js';
import { normalizeOutput } from './normalize.js';
import { emptyLogScale } from './state.js';

export interface LogSpaceInputs {
  /** Log-features [batch, heads, queries, features] */
  readonly query: Tensor;
  /** Log-features [batch, heads, keys, features]; those of a hidden key are maskedLogScale. */
  readonly key: Tensor;
  /** [batch, heads, keys, dim] */
  readonly value: Tensor;
  /** False for rows that see no key, which get zeros; absent where each sees some. [batch, 1, 1, 1] */
  readonly visible: Tensor<'bool'> | undefined;
}

function weights({ query, key, value }: LogSpaceInputs) {
  const top = maximum(max(key, 2, true), emptyLogScale); // M: [batch, heads, 1, features]
  const keyWeight = exp(subtract(key, top)); // k
  const extended = withOnes(value);
  const sums = matmul(keyWeight, extended, { transposeLeft: true }); // S: [batch, heads, features, dim + 1]
  return { keyWeight, extended, sums, queryWeight: softmax(add(query, top)) };
}

/** The output [batch, heads, queries, dim] and the inverse denominators [..., 1], zero for rows without any key. */
export function logSpaceBidirectional(inputs: LogSpaceInputs): readonly Tensor[] {
  const { queryWeight, sums } = weights(inputs);
  const { output, inverse } = normalizeOutput(matmul(queryWeight, sums), { visible: inputs.visible });
  return [output, inverse];
}

/** The gradients of the log-features of queries and keys and of the values, given G [batch, heads, queries, dim + 1]. */
export function logSpaceBidirectionalGradient(inputs: LogSpaceInputs, gWeighted: Tensor): readonly Tensor[] {
  const { keyWeight, extended, sums, queryWeight } = weights(inputs);
  const gSums = matmul(queryWeight, gWeighted, { transposeLeft: true }); // Z
  return [
    multiply(queryWeight, matmul(gWeighted, sums, { transposeRight: true })),
    multiply(keyWeight, matmul(extended, gSums, { transposeRight: true })),
    slice(matmul(keyWeight, gSums), -1, 0, inputs.value.staticDim(-1)),
  ];
}

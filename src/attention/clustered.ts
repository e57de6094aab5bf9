/**
 * Clustered attention (Vyas et al. 2020, "Fast Transformers with Clustered Attention", arXiv 2007.04825): the mean of the queries
 * of each cluster attends to all keys exactly, and each query takes what its cluster got. Not causal; C·length scores for C
 * clusters in place of length².
 *
 *   P_c = softmax(q̄_c Kᵀ/√dim),   o_i = P_c V for query i of cluster c
 *
 * Improved (section 3.3): the `topK` keys T to which a cluster gives most are weighed by each of its queries exactly, and share
 * the mass that the cluster gave to them; all others keep what it gave them:
 *
 *   o_i = m_c·softmax(q_i K_Tᵀ/√dim) V_T + Σ_{j∉T} P_cj v_j,   m_c = Σ_{j∈T} P_cj
 *
 * No gradient goes through which queries and keys are chosen.
 */
import type { Dim } from '../base/dimension.js';
import { sameDim } from '../base/dimension.js';
import {
  broadcastTo,
  cast,
  concatenate,
  divide,
  matmul,
  maximum,
  pad,
  reshape,
  scalar,
  slice,
  type Tensor,
  where,
} from '../graph/index.js';
import { attendToTop } from './clustered-top.js';
import { type ClusterOptions, clustersOf } from './clusters.js';
import { gatherHeads, groupOf, splitHeads } from './heads.js';
import { type AttentionInputs, checkInputs, swapHeads, withoutHidden } from './layout.js';
import { visibleSoftmax } from './visible.js';

/** How queries are clustered, and how they look at keys. */
export interface ClusteredOptions extends ClusterOptions {
  /** Keys of a cluster that each of its queries sees exactly; none unless given. */
  readonly topK?: number | undefined;
}

/** The mean of the real queries of each cluster, [batch, heads, clusters, dim]; zeros where there are none. */
function meanQueries(query: Tensor, assigned: Tensor, isReal: Tensor): Tensor {
  const dim = query.staticDim(-1);
  const totals = matmul(assigned, concatenate([query, isReal], -1), { transposeLeft: true });
  return divide(slice(totals, -1, 0, dim), maximum(slice(totals, -1, dim, dim + 1), 1));
}

/**
 * [batch, queries, heads, dim] attending to [batch, keys, keyHeads, dim] by clusters: [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function clusteredAttention(given: AttentionInputs, options: ClusteredOptions): Tensor {
  const { topK = 0 } = options;
  checkInputs('clusteredAttention', given, false);
  const inputs = withKeys(withoutHidden(given), topK);
  const group = groupOf(inputs.query, inputs.key);
  const [batch, queries] = inputs.query.shape as [Dim, Dim];
  const isReal = given.keyMask !== undefined && sameDim(queries, given.key.dim(1)) ? given.keyMask : undefined;
  const chosen = isReal && reshape(isReal, [batch, queries, 1, 1]);
  const tokens = chosen === undefined ? inputs.query : where(chosen, inputs.query, scalar(0));
  const query = swapHeads(tokens);
  const assigned = clustersOf(tokens, options, isReal);
  const ones = chosen === undefined ? scalar(1) : reshape(cast(chosen, 'float32'), [batch, 1, queries, 1]);
  const means = meanQueries(query, assigned, broadcastTo(ones, [...query.shape.slice(0, -1), 1]));
  const key = swapHeads(inputs.key);
  const value = swapHeads(inputs.value);
  const scores = matmul(gatherHeads(means, group), key, { transposeRight: true, scale: query.staticDim(-1) ** -0.5 });
  const visible = inputs.keyMask && reshape(inputs.keyMask, [batch, 1, 1, key.dim(2)]);
  const weights = visibleSoftmax(scores, visible); // [batch, keyHeads, group·clusters, keys]
  const results = splitHeads(matmul(weights, value), group, options.clusters);
  if (topK === 0) return swapHeads(matmul(assigned, results));
  return swapHeads(attendToTop({ query, key, value, keyMask: inputs.keyMask, assigned, weights, results }, topK));
}

/** The inputs with hidden keys behind the others, where there may be fewer than `count`. */
function withKeys(inputs: AttentionInputs, count: number): AttentionInputs {
  const { key, value, keyMask } = inputs;
  const [batch, keys] = key.shape as [Dim, Dim];
  if (count === 0 || (typeof keys === 'number' && keys >= count)) return inputs;
  const more = (x: Tensor) => pad(x, 1, 0, count);
  const real = keyMask === undefined ? broadcastTo(scalar(1), [batch, keys]) : cast(keyMask, 'float32');
  return { ...inputs, key: more(key), value: more(value), keyMask: cast(more(real), 'bool') };
}

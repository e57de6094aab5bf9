/**
 * Causal FAVOR+ in log space, position by position: the form that no size of queries and keys can break.
 *
 * With log-features a, a running maximum M per feature, and G the gradient of [num, den],
 *
 *   M_i = max(M_{i−1}, a_k,i);   S_i = e^{M_{i−1} − M_i} S_{i−1} + e^{a_k,i − M_i} [v_i, 1]ᵀ;
 *   p_i = softmax(a_q,i + M_i);  [num, den]_i = p_i S_i.
 *
 * The largest term of a row has a factor S ≥ 1 and a p ≥ 1/features, so den ≥ 1/features. A weight of the row is
 * p_if e^{a_k,jf − M_if}/den_i, from which the gradients follow:
 *
 *   ∂a_q,if = p_if (S_if·G_i);        Z_j = p_j G_jᵀ + e^{M_j − M_{j+1}} Z_{j+1};
 *   ∂a_k,jf = e^{a_k,jf − M_jf} (Z_jf·[v_j, 1]);    ∂v_j = Σ_f e^{a_k,jf − M_jf} Z_jf.
 *
 * No factor exceeds 1. This is linear in the length, keeps one state at a time, and is several times slower than
 * the chunked form (causal.ts), which calls it where float32 has lost something. Axes: [length, batch, heads, 1, ·].
 */
import {
  add,
  broadcastTo,
  exp,
  matmul,
  max,
  maximum,
  multiply,
  reshape,
  type ScanStep,
  scalar,
  scan,
  slice,
  softmax,
  subtract,
  type Tensor,
  transpose,
} from '../graph/index.js';
import { withOnes } from './layout.js';
import { normalizeOutput } from './normalize.js';
import type { AttentionState } from './state.js';

export interface LogSpaceInputs {
  /** Log-features [length, batch, heads, 1, features]; those of a hidden key are maskedLogScale. */
  readonly query: Tensor;
  readonly key: Tensor;
  /** [length, batch, heads, 1, dim] */
  readonly value: Tensor;
  /** [length, batch, 1, 1, 1], false for rows that see no key, which get zeros; absent where each sees some. */
  readonly visible: Tensor<'bool'> | undefined;
  /** What was read before, normalized. */
  readonly state: AttentionState;
}

/** [..., 1, features] → [..., features, 1] */
function column(x: Tensor): Tensor {
  return reshape(x, [...x.shape.slice(0, -2), x.dim(-1), 1]);
}

interface Read {
  readonly next: readonly [sum: Tensor, scale: Tensor];
  readonly decay: Tensor;
  readonly weight: Tensor;
  readonly queryWeight: Tensor;
}

/** One position read into the state: sum [batch, heads, features, dim + 1], scale [batch, heads, 1, features]. */
function read([sum, scale]: readonly Tensor[], [query, key, extended]: readonly Tensor[]): Read {
  const top = maximum(scale!, key!);
  const decay = exp(subtract(scale!, top));
  const weight = exp(subtract(key!, top));
  const next = add(multiply(sum!, column(decay)), multiply(column(weight), extended!));
  return { next: [next, top], decay, weight, queryWeight: softmax(add(query!, top)) };
}

function statesOf({ sum, logScale }: AttentionState): readonly Tensor[] {
  const [batch, heads, features] = logScale.shape;
  return [sum, reshape(logScale, [batch!, heads!, 1, features!])];
}

/** The outputs [length, batch, heads, 1, dim] and the inverse denominators [..., 1], zero for a row without any key. */
export function logSpaceCausal({ query, key, value, visible, state }: LogSpaceInputs): {
  output: Tensor;
  inverse: Tensor;
} {
  const { items } = scan(statesOf(state), [query, key, withOnes(value)], (states, position): ScanStep => {
    const { next, queryWeight } = read(states, position);
    return { states: next, items: [matmul(queryWeight, next[0])] };
  });
  return normalizeOutput(items[0]!, { visible });
}

/** The gradients of the log-features and of the values, given G [length, batch, heads, 1, dim + 1]. */
export function logSpaceCausalGradient(
  { query, key, value, state }: LogSpaceInputs,
  gWeighted: Tensor,
): { query: Tensor; key: Tensor; value: Tensor } {
  const extended = withOnes(value);
  const forward = scan(statesOf(state), [query, key, extended, gWeighted], (states, position): ScanStep => {
    const { next, decay, weight, queryWeight } = read(states, position);
    const gQuery = multiply(queryWeight, matmul(position[3]!, next[0], { transposeRight: true }));
    return { states: next, items: [gQuery, queryWeight, weight, decay] };
  });
  const [gQuery, queryWeight, weight, decay] = forward.items;
  const nothing = broadcastTo(scalar(0), state.sum.shape);
  const backward = scan(
    [nothing],
    [queryWeight!, weight!, decay!, extended, gWeighted],
    ([later], [p, k, shrink, v, g]): ScanStep => {
      const total = add(later!, multiply(column(p!), g!)); // Z: [batch, heads, features, dim + 1]
      const gKey = multiply(k!, matmul(v!, total, { transposeRight: true }));
      return { states: [multiply(total, column(shrink!))], items: [gKey, matmul(k!, total)] };
    },
    { reverse: true },
  );
  return { query: gQuery!, key: backward.items[0]!, value: slice(backward.items[1]!, -1, 0, value.staticDim(-1)) };
}

/** The state after all keys [length, batch, heads, 1, features], normalized inputs or not, in one product. */
export function logSpaceState({ key, value, state }: Omit<LogSpaceInputs, 'query' | 'visible'>): AttentionState {
  const [length, batch, heads, , features] = key.shape;
  const dim = value.staticDim(-1);
  const byHead = (x: Tensor) => transpose(reshape(x, [length!, batch!, heads!, x.dim(-1)]), [1, 2, 0, 3]); // [batch, heads, length, ·]
  const before = reshape(state.logScale, [batch!, heads!, 1, features!]);
  const keys = byHead(key);
  const top = maximum(before, max(keys, 2, true));
  const fresh = matmul(exp(subtract(keys, top)), reshape(byHead(withOnes(value)), [batch!, heads!, length!, dim + 1]), {
    transposeLeft: true,
  });
  const kept = multiply(state.sum, column(exp(subtract(before, top))));
  return { sum: add(kept, fresh), logScale: reshape(top, [batch!, heads!, features!]) };
}

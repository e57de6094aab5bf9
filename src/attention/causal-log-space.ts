/**
 * Causal FAVOR+ in log space, position by position: the form that no size of queries and keys can break.
 *
 *   a_q, a_k  the log-features of queries and keys
 *   g         the logDecay of a position, 0 where keys do not decay
 *   M_i       the running maximum of a_k per feature, up to position i, each smaller by the decay since
 *   S_i       the sums over the keys up to i, each feature at its scale M_i
 *   p_i       the weights of the features for query i
 *   G         the gradient of [num, den]
 *   Z         that of S, from all that reads it from this position on
 *
 *   M_i = max(M_{i−1} + g_i, a_k,i);   S_i = e^{M_{i−1} + g_i − M_i} S_{i−1} + e^{a_k,i − M_i} [v_i, 1]ᵀ;
 *   p_i = softmax(a_q,i + M_i);  [num, den]_i = p_i S_i, at the scale logSumExp(a_q,i + M_i).
 *
 * The largest term of a row has a factor S ≥ 1 and a p ≥ 1/features, so den ≥ 1/features. A weight of the row is
 * p_if e^{a_k,jf − M_if}/den_i, from which the gradients follow:
 *
 *   ∂a_q,if = p_if (S_if·G_i);        Z_j = p_j G_jᵀ + e^{M_j + g_{j+1} − M_{j+1}} Z_{j+1};
 *   ∂a_k,jf = e^{a_k,jf − M_jf} (Z_jf·[v_j, 1]);    ∂v_j = Σ_f e^{a_k,jf − M_jf} Z_jf.
 *
 * No factor exceeds 1. This is linear in the length, keeps one state at a time, and is several times slower than
 * the chunked form (causal.ts), which calls it where float32 has lost something. Axes: [length, batch, keyHeads, 1, ·] of
 * keys, with the query heads of a group in the place of the 1 for queries.
 */
import {
  add,
  broadcastTo,
  cumulativeSum,
  exp,
  logSumExp,
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
  sum,
  type Tensor,
  transpose,
} from '../graph/index.js';
import { withOnes } from './layout.js';
import type { AttentionState } from './state.js';

export interface LogSpaceInputs {
  /** Log-features [length, batch, keyHeads, group, features] */
  readonly query: Tensor;
  /** Log-features [length, batch, keyHeads, 1, features]; those of a hidden key are maskedLogScale. */
  readonly key: Tensor;
  /** [length, batch, keyHeads, 1, dim] */
  readonly value: Tensor;
  /** g [length, batch, keyHeads, 1, 1]; absent where keys do not decay. */
  readonly logDecay?: Tensor | undefined;
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

/** A scale after the decay of a position, if any. */
function decayed(scale: Tensor, logDecay: Tensor | undefined): Tensor {
  return logDecay === undefined ? scale : add(scale, logDecay);
}

/** One position read into the state: its sum [batch, keyHeads, features, dim + 1], scale [batch, keyHeads, 1, features]. */
function read(
  [total, scale]: readonly Tensor[],
  [query, key, extended]: readonly Tensor[],
  logDecay: Tensor | undefined,
): Read {
  const before = decayed(scale!, logDecay);
  const top = maximum(before, key!);
  const decay = exp(subtract(before, top));
  const weight = exp(subtract(key!, top));
  const next = add(multiply(total!, column(decay)), multiply(column(weight), extended!));
  return { next: [next, top], decay, weight, queryWeight: softmax(add(query!, top)) };
}

/** What a loop reads beside the rest, if there is something. */
function given(logDecay: Tensor | undefined): readonly Tensor[] {
  return logDecay === undefined ? [] : [logDecay];
}

function scaleOf({ logScale }: AttentionState): Tensor {
  const [batch, heads, features] = logScale.shape;
  return reshape(logScale, [batch!, heads!, 1, features!]);
}

/** [num, den], [length, batch, keyHeads, group, dim + 1]. */
export function logSpaceCausal({ query, key, value, logDecay, state }: LogSpaceInputs): Tensor {
  const start = [state.sum, scaleOf(state)];
  const sequences = [query, key, withOnes(value), ...given(logDecay)];
  const { items } = scan(start, sequences, (states, position): ScanStep => {
    const { next, queryWeight } = read(states, position, position[3]);
    return { states: next, items: [matmul(queryWeight, next[0])] };
  });
  return items[0]!;
}

/** The scales of [num, den], [length, batch, keyHeads, group, 1]. */
export function logSpaceScale({ query, key, logDecay, state }: Omit<LogSpaceInputs, 'value'>): Tensor {
  const sequences = [query, key, ...given(logDecay)];
  const { items } = scan([scaleOf(state)], sequences, ([scale], [own, fresh, decay]): ScanStep => {
    const top = maximum(decayed(scale!, decay), fresh!);
    return { states: [top], items: [logSumExp(add(own!, top), -1, true)] };
  });
  return items[0]!;
}

/** A state as an output: the gradient of its sum [batch, keyHeads, features, dim + 1], and the logScale that it was given out at. */
export interface StateGradient {
  readonly sum: Tensor;
  readonly logScale: Tensor;
}

/**
 * The gradients of the log-features, of the values and of the sum of the state, given G [length, batch, keyHeads, group,
 * dim + 1] and that of the state after all positions, if any.
 */
export function logSpaceCausalGradient(
  { query, key, value, logDecay, state }: LogSpaceInputs,
  gWeighted: Tensor,
  gState: StateGradient | undefined,
): { query: Tensor; key: Tensor; value: Tensor; state: Tensor } {
  const extended = withOnes(value);
  const start = [state.sum, scaleOf(state)];
  const sequences = [query, key, extended, gWeighted, ...given(logDecay)];
  const forward = scan(start, sequences, (states, position): ScanStep => {
    const { next, decay, weight, queryWeight } = read(states, position, position[4]);
    const gQuery = multiply(queryWeight, matmul(position[3]!, next[0], { transposeRight: true }));
    return { states: next, items: [gQuery, queryWeight, weight, decay] };
  });
  const [gQuery, queryWeight, weight, decay] = forward.items;
  const last =
    gState === undefined
      ? broadcastTo(scalar(0), state.sum.shape)
      : multiply(
          gState.sum,
          exp(subtract(column(forward.states[1]!), reshape(gState.logScale, [...gState.logScale.shape, 1]))),
        );
  const backward = scan(
    [last],
    [queryWeight!, weight!, decay!, extended, gWeighted],
    ([later], [p, k, shrink, v, g]): ScanStep => {
      const total = add(later!, matmul(p!, g!, { transposeLeft: true })); // Z: [batch, keyHeads, features, dim + 1]
      const gKey = multiply(k!, matmul(v!, total, { transposeRight: true }));
      return { states: [multiply(total, column(shrink!))], items: [gKey, matmul(k!, total)] };
    },
    { reverse: true },
  );
  return {
    query: gQuery!,
    key: backward.items[0]!,
    value: slice(backward.items[1]!, -1, 0, value.staticDim(-1)),
    state: backward.states[0]!,
  };
}

/** The state after all keys [length, batch, heads, 1, features], normalized inputs or not, in one product. */
export function logSpaceState({ key: own, value, logDecay, state }: Omit<LogSpaceInputs, 'query'>): AttentionState {
  // What comes after a key makes it smaller: summed from the end, so that those near it are exact.
  const later = logDecay && cumulativeSum(logDecay, 0, { exclusive: true, reverse: true });
  const key = decayed(own, later);
  const [length, batch, heads, , features] = key.shape;
  const dim = value.staticDim(-1);
  const byHead = (x: Tensor) => transpose(reshape(x, [length!, batch!, heads!, x.dim(-1)]), [1, 2, 0, 3]); // [batch, heads, length, ·]
  const before = decayed(scaleOf(state), logDecay && sum(logDecay, 0));
  const keys = byHead(key);
  const top = maximum(before, max(keys, 2, true));
  const fresh = matmul(exp(subtract(keys, top)), reshape(byHead(withOnes(value)), [batch!, heads!, length!, dim + 1]), {
    transposeLeft: true,
  });
  const kept = multiply(state.sum, column(exp(subtract(before, top))));
  return { sum: add(kept, fresh), logScale: reshape(top, [batch!, heads!, features!]) };
}

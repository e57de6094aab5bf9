/**
 * Causal FAVOR+ in chunks: exact, leak-free, linear in the length (Choromanski et al. 2021, section 2.5.1 and app. B.1,
 * in the chunk-parallel form with a stabiliser for each chunk).
 *
 * Position i gets o_i = Σ_{j≤i} φ(q_i)·φ(k_j) v_j / Σ_{j≤i} φ(q_i)·φ(k_j). With values extended by a column of ones,
 * Ṽ = [V, 1], and c running over chunks,
 *
 *   S_c = K_cᵀ Ṽ_c,   P_c = Σ_{b<c} S_b,   [num, den]_c = tril(Q_c K_cᵀ) Ṽ_c + Q_c P_c.
 *
 * Keys carry a factor e^{logScale}. R_c, its running maximum up to chunk c, is subtracted inside the chunk, and P_c
 * decays by e^{R_{c−1} − R_c}; R cancels exactly in num/den, so it needs no gradient, and an output depends on nothing
 * that comes later, except within its chunk through rounding. Axes: [chunks, batch, heads, chunk, ·].
 */
import { ceilDivide, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  constant,
  cumulativeSum,
  exp,
  less,
  linearRecurrence,
  matmul,
  max,
  multiply,
  reshape,
  runningMax,
  scalar,
  slice,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  transpose,
  where,
  withGradient,
} from '../graph/index.js';
import { guarded, lastEntry } from './guard.js';
import {
  type AttentionInputs,
  checkInputs,
  expectPositions,
  fromChunks,
  padLength,
  positionsOf,
  refuseSequenceWide,
  toChunks,
} from './layout.js';
import { normalizeOutput } from './normalize.js';
import { type AttentionState, emptyLogScale, headroom, maskedLogScale } from './state.js';

export interface CausalOptions {
  /** Positions in a chunk; changes the speed and nothing else. */
  readonly chunk?: number;
  /** What was read before these tokens; its gradient is not followed. */
  readonly state?: AttentionState;
}

export const defaultChunk = 128;

/** 1 where a key is at or before the query: [chunk, chunk]. */
function causalMask(chunk: number): Tensor {
  const values = Array.from({ length: chunk * chunk }, (_, at) => Number(at % chunk <= Math.floor(at / chunk)));
  return constant('float32', [chunk, chunk], values);
}

/** The stabilisers: R [chunks, batch, heads, 1, 1] and the decays e^{R_{c−1} − R_c}, from the keys' scales. */
function stabilize(logScale: Tensor, before: Tensor): { running: Tensor; decay: Tensor } {
  const running = runningMax(before, max(logScale, 3, true));
  const previous = concatenate(
    [reshape(before, [1, ...before.shape]), slice(running, 0, 0, minusOne(running.dim(0)))],
    0,
  );
  return { running, decay: exp(subtract(previous, running)) };
}

function minusOne(dim: Dim): Dim {
  return subtractDims(dim, 1);
}

interface CoreInputs {
  /** [chunks, batch, heads, chunk, features] */
  readonly query: Tensor;
  readonly key: Tensor;
  /** [chunks, batch, heads, chunk, 1] */
  readonly logScale: Tensor;
  /** [chunks, batch, heads, chunk, dim] */
  readonly value: Tensor;
  /** [chunks, batch, 1, chunk, 1], true where a query sees a key; absent where all do. */
  readonly visible: Tensor | undefined;
  /** The sum of a state at the scale `before`: [batch, heads, features, dim + 1] and [batch, heads, 1, 1]. */
  readonly initial: Tensor;
  readonly before: Tensor;
  /** Whether the last feature is the mass of a guarded map. */
  readonly hasMass: boolean;
}

interface CoreResult {
  readonly output: Tensor;
  readonly final: Tensor;
  readonly running: Tensor;
}

/** The chunked sums with a gradient of their own: six passes that reuse what the forward kept. */
function chunkedCore({ query, key, logScale, value, visible, initial, before, hasMass }: CoreInputs): CoreResult {
  const dim = value.staticDim(-1);
  const mask = causalMask(query.staticDim(3));
  const { running, decay } = stabilize(logScale, before);
  const weight = multiply(exp(subtract(logScale, running)), headroom); // [chunks, batch, heads, chunk, 1]
  const extended = concatenate([multiply(value, weight), weight], -1); // Ṽ, weighted: [..., chunk, dim + 1]
  const sums = matmul(key, extended, { transposeLeft: true }); // S: [..., features, dim + 1]
  const [prefix, final] = linearRecurrence(multiply(initial, headroom), decay, sums); // P
  const scores = multiply(matmul(query, key, { transposeRight: true }), mask); // [..., chunk, chunk]
  const weighted = add(matmul(scores, extended), matmul(query, prefix)); // [..., chunk, dim + 1]
  const mass = hasMass ? massUpTo(key, weight, prefix) : undefined;
  const { output, gradient } = normalizeOutput(weighted, { visible, mass });

  const [result] = withGradient([query, key, logScale, value], [output], ([g]) => {
    const gWeighted = gradient(g!); // G
    const gScores = multiply(matmul(gWeighted, extended, { transposeRight: true }), mask);
    const gQuery = add(matmul(gScores, key), matmul(gWeighted, prefix, { transposeRight: true }));
    // The gradient of S is the sum over the later chunks of QᵀG: the same recurrence, from the end.
    const gPrefix = matmul(query, gWeighted, { transposeLeft: true });
    const chunks = decay.dim(0);
    const edge = broadcastTo(scalar(1), [1, ...decay.shape.slice(1)]);
    const later = concatenate([slice(decay, 0, 1, chunks), edge], 0);
    const nothing = broadcastTo(scalar(0), initial.shape);
    const [gSums] = linearRecurrence(nothing, later, gPrefix, { reverse: true });
    const gKey = add(
      matmul(gScores, query, { transposeLeft: true }),
      matmul(extended, gSums, { transposeRight: true }),
    );
    const gExtended = add(matmul(scores, gWeighted, { transposeLeft: true }), matmul(key, gSums));
    const gLogScale = sum(multiply(extended, gExtended), -1, true);
    const gValue = multiply(slice(gExtended, -1, 0, dim), weight);
    return [gQuery, gKey, gLogScale, gValue];
  });
  return { output: result!, final: multiply(final, 1 / headroom), running };
}

/** The mass of the keys up to each position: [chunks, batch, heads, chunk, 1]. */
function massUpTo(key: Tensor, weight: Tensor, prefix: Tensor): Tensor {
  const own = slice(key, -1, key.staticDim(-1) - 1); // |φ(k)|
  return add(cumulativeSum(multiply(own, weight), 3), lastEntry(prefix));
}

/** A state's sum at one scale per head: [batch, heads, features, dim + 1] and that scale [batch, heads, 1, 1]. */
function unify({ sum: total, logScale }: AttentionState): { initial: Tensor; before: Tensor } {
  const before = reshape(max(logScale, -1, true), [...logScale.shape.slice(0, 2), 1, 1]);
  const column = reshape(logScale, [...logScale.shape, 1]);
  return { initial: multiply(total, exp(subtract(column, before))), before };
}

/** Whether each position [batch, length] has seen a key, counting what a state has read. */
function seenKeys(keyMask: Tensor, state: AttentionState | undefined): Tensor {
  const counts = cumulativeSum(cast(keyMask, 'float32'), 1);
  if (state === undefined) return less(0, counts);
  const batch = state.logScale.dim(0);
  const read = less(emptyLogScale / 2, max(state.logScale, [1, 2])); // [batch]
  return less(0, add(counts, reshape(cast(read, 'float32'), [batch, 1])));
}

/**
 * Causal attention of [batch, length, heads, dim] through a feature map, in time and memory linear in the length.
 * Returns the output [batch, length, heads, valueDim] and the state after the last token.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for features that cannot be causal (an epsilon), or need positions and got none.
 */
export function causalAttention(
  inputs: AttentionInputs,
  features: FeatureMap,
  { chunk = defaultChunk, state }: CausalOptions = {},
): { output: Tensor; state: AttentionState } {
  checkInputs('causalAttention', inputs, true);
  refuseSequenceWide('causalAttention', features);
  if (!Number.isSafeInteger(chunk) || chunk < 1) {
    throw new PerformerError('CONFIG', `causalAttention: expected a positive integer as chunk, got ${chunk}.`);
  }
  const [batch, length, heads] = inputs.query.shape as [Dim, Dim, Dim, Dim];
  const valueDim = inputs.value.staticDim(-1);
  const map = guarded(features);
  expectPositions('causalAttention', inputs, map, state !== undefined);
  const position = positionsOf('causalAttention', inputs, map, (x) => toChunks(x, chunk));
  const queryFeatures = map.query(toChunks(inputs.query, chunk), position.query);
  const keyFeatures = map.key(toChunks(inputs.key, chunk), position.key);
  const value = toChunks(inputs.value, chunk);
  const chunks = ceilDivide(length, chunk);
  const rows = [chunks, batch, heads, chunk, 1];
  const plain = keyFeatures.logScale ?? broadcastTo(scalar(0), rows);

  const isPadded = subtractDims(roundUp(length, chunk), length) !== 0;
  const real = inputs.keyMask ?? (isPadded ? broadcastTo(cast(scalar(1), 'bool'), [batch, length]) : undefined);
  const byChunk = (x: Tensor) =>
    reshape(transpose(reshape(padLength(x, chunk), [batch, chunks, chunk]), [1, 0, 2]), [chunks, batch, 1, chunk, 1]);
  // Padding is written in int32, which every engine pads, and read back as a mask.
  const maskByChunk = (mask: Tensor) => less(0, byChunk(cast(mask, 'int32')));
  const logScale = real === undefined ? plain : where(maskByChunk(real), plain, scalar(maskedLogScale));
  const visible = inputs.keyMask === undefined ? undefined : maskByChunk(seenKeys(inputs.keyMask, state));

  const { initial, before } =
    state === undefined
      ? {
          initial: broadcastTo(scalar(0), [batch, heads, map.featureCount, valueDim + 1]),
          before: broadcastTo(scalar(emptyLogScale), [batch, heads, 1, 1]),
        }
      : unify({ sum: stopGradient(state.sum), logScale: stopGradient(state.logScale) });
  const core = chunkedCore({
    query: queryFeatures.values,
    key: keyFeatures.values,
    logScale,
    value,
    visible,
    initial,
    before,
    hasMass: map.isSigned === true,
  });
  const last = slice(core.running, 0, minusOne(chunks), chunks); // [1, batch, heads, 1, 1]
  const finalScale = broadcastTo(reshape(last, [batch, heads, 1]), [batch, heads, map.featureCount]);
  return { output: fromChunks(core.output, length), state: { sum: core.final, logScale: finalScale } };
}

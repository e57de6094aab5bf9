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
 *
 * Where float32 loses weights that count (loss.ts says how this is known), which it does from a standard deviation of 5
 * of queries and keys on, the outputs, their gradients and the state are computed in log space instead
 * (causal-log-space.ts): each is a branch of the graph, and the other one does not run. Which one does depends on the
 * whole sequence, and changes an output by rounding alone.
 */
import { ceilDivide, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { elementCount, type Shape } from '../base/shape.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  conditional,
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
import { type CausalTwin, causalTwin } from './causal-twin.js';
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
import { isLossy, isLossyState } from './loss.js';
import { normalizeOutput, weightedGradient } from './normalize.js';
import { type AttentionState, emptyLogScale, headroom, maskedLogScale, normalizeState } from './state.js';

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

/**
 * No less than Σⱼ w_j over the keys that each row sees, [chunks, batch, heads, chunk, 1]: those of its chunk, those of
 * the chunks before as if they had not decayed, and `read` [batch, heads, 1, 1], what a state holds.
 */
function seenWeight(weight: Tensor, mask: Tensor, read: Tensor): Tensor {
  const [chunks, batch, heads, chunk] = weight.shape as [Dim, Dim, Dim, Dim];
  const rows = reshape(weight, [elementCount([chunks, batch, heads] as Shape), chunk]);
  const own = reshape(matmul(rows, mask, { transposeRight: true }), weight.shape);
  const earlier = cumulativeSum(sum(weight, 3, true), 0, { exclusive: true }); // [chunks, batch, heads, 1, 1]
  return add(own, add(earlier, multiply(reshape(read, [batch, heads, 1, 1]), headroom)));
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
  /** The log-space form, and the logarithms [chunks, batch, heads, chunk, features] that then get the gradients. */
  readonly logSpace: { readonly twin: CausalTwin; readonly query: Tensor; readonly key: Tensor } | undefined;
}

interface CoreResult {
  readonly output: Tensor;
  /** With the headroom in it. */
  readonly final: Tensor;
  readonly running: Tensor;
}

/** The chunked sums with a gradient of their own: six passes that reuse what the forward kept. */
function chunkedCore(inputs: CoreInputs): CoreResult {
  const { query, key, logScale, value, visible, initial, before, hasMass, logSpace } = inputs;
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
  const normalize = () => normalizeOutput(weighted, { visible, mass });

  const gradients = (gWeighted: Tensor) => {
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
    return { gQuery, gKey, gExtended, gValue: multiply(slice(gExtended, -1, 0, dim), weight) };
  };

  if (logSpace === undefined) {
    const { output, gradient } = normalize();
    const [result] = withGradient([query, key, logScale, value], [output], ([g]) => {
      const { gQuery, gKey, gExtended, gValue } = gradients(gradient(g!));
      return [gQuery, gKey, sum(multiply(extended, gExtended), -1, true), gValue];
    });
    return { output: result!, final, running };
  }

  const seen = seenWeight(weight, mask, sum(slice(initial, -1, dim), 2, true));
  const lossy = isLossy(weighted, slice(weighted, -1, dim), seen, query.staticDim(-1), visible);
  const [output, inverse] = conditional(lossy, logSpace.twin.outputs, () => {
    const fast = normalize();
    return [fast.output, fast.inverse];
  }) as [Tensor, Tensor];
  const [result] = withGradient([logSpace.query, logSpace.key, value], [output], ([g]) => {
    const gWeighted = weightedGradient(g!, output, inverse); // G
    return conditional(
      lossy,
      () => logSpace.twin.gradients(gWeighted),
      () => {
        const { gQuery, gKey, gValue } = gradients(gWeighted);
        return [multiply(query, gQuery), multiply(key, gKey), gValue];
      },
    );
  });
  return { output: result!, final, running };
}

/**
 * The state after all chunks, at a scale per feature where it loses nothing so, else from the twin. Dividing by the
 * denominators takes the headroom away and leaves every feature the whole of float32's range.
 */
function finalState({ final, running }: CoreResult, twin: CausalTwin | undefined): AttentionState {
  const [batch, heads, features] = final.shape as [Dim, Dim, Dim];
  const last = slice(running, 0, minusOne(running.dim(0))); // [1, batch, heads, 1, 1]
  const logScale = broadcastTo(reshape(last, [batch, heads, 1]), [batch, heads, features]);
  const chunked = { sum: multiply(final, 1 / headroom), logScale };
  if (twin === undefined) return chunked;
  const dim = final.staticDim(-1) - 1;
  const [total, scale] = conditional(isLossyState(final, slice(final, -1, dim)), twin.state, () => {
    const state = normalizeState(chunked);
    return [state.sum, state.logScale];
  });
  return { sum: stopGradient(total!), logScale: stopGradient(scale!) };
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

/** The state to start from, without its gradient; normalized where the features have logarithms. */
function startOf(
  state: AttentionState | undefined,
  { batch, heads, features, valueDim }: { batch: Dim; heads: Dim; features: number; valueDim: number },
  isLogarithmic: boolean,
): AttentionState {
  if (state === undefined) {
    const sum = broadcastTo(scalar(0), [batch, heads, features, valueDim + 1]);
    return { sum, logScale: broadcastTo(scalar(emptyLogScale), [batch, heads, features]) };
  }
  const given = { sum: stopGradient(state.sum), logScale: stopGradient(state.logScale) };
  return isLogarithmic ? normalizeState(given) : given;
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
  const readQuery = () => map.query(toChunks(inputs.query, chunk), position.query);
  const readKey = () => map.key(toChunks(inputs.key, chunk), position.key);
  const [queryFeatures, keyFeatures] = [readQuery(), readKey()];
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
  const mask = real === undefined ? undefined : maskByChunk(real);
  const logScale = mask === undefined ? plain : where(mask, plain, scalar(maskedLogScale));
  const visible = inputs.keyMask === undefined ? undefined : maskByChunk(seenKeys(inputs.keyMask, state));

  const [queryLog, keyLog] = [queryFeatures.logValues, keyFeatures.logFeatures];
  const isLogarithmic = queryLog !== undefined && keyLog !== undefined;
  const start = startOf(state, { batch, heads, features: map.featureCount, valueDim }, isLogarithmic);
  const twin = isLogarithmic
    ? causalTwin({
        query: () => readQuery().logValues!,
        key: () => readKey().logFeatures!,
        value,
        mask,
        state: start,
      })
    : undefined;
  const core = chunkedCore({
    query: queryFeatures.values,
    key: keyFeatures.values,
    logScale,
    value,
    visible,
    ...unify(start),
    hasMass: map.isSigned === true,
    logSpace: twin === undefined ? undefined : { twin, query: queryLog!, key: keyLog! },
  });
  return { output: fromChunks(core.output, length), state: finalState(core, twin) };
}

/**
 * Causal FAVOR+ in chunks: exact, leak-free, linear in the length (Choromanski et al. 2021, section 2.5.1 and app. B.1,
 * in the chunk-parallel form with a stabiliser for each chunk).
 *
 * Position i gets o_i = Σ_{j≤i} φ(q_i)·φ(k_j) v_j / Σ_{j≤i} φ(q_i)·φ(k_j). A loop over the chunks carries the sums of the keys
 * before (causal-chunk.ts has the formulas): features and scores of a chunk stay in cache and are never written out. The
 * gradient is a loop from the last chunk to the first, which computes the features again. Keys carry a factor
 * e^{logScale}, of which the largest so far is taken out; it cancels exactly, so an output depends on nothing that comes
 * later, except within its chunk through rounding.
 *
 * Where float32 loses weights that count (loss.ts says how this is known), which it does from a standard deviation of 5
 * of queries and keys on, the outputs, their gradients and the state are computed in log space instead
 * (causal-log-space.ts): each is a branch of the graph, and the other one does not run.
 */
import { type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  conditional,
  constant,
  cumulativeSum,
  less,
  max,
  multiply,
  pullback,
  reshape,
  scalar,
  slice,
  stopGradient,
  type Tensor,
  transpose,
  withGradient,
} from '../graph/index.js';
import type { ChunkState } from './causal-chunk.js';
import { chunkLoop, swapLast } from './causal-loop.js';
import { type CausalTwin, causalTwin } from './causal-twin.js';
import { guarded } from './guard.js';
import {
  type AttentionInputs,
  checkInputs,
  chunkRows,
  expectPositions,
  fromSequence,
  joinRows,
  positionsOf,
  refuseSequenceWide,
  toChunks,
  toSequence,
  withoutHidden,
} from './layout.js';
import { isLossy, isLossyState } from './loss.js';
import { weightedGradient } from './normalize.js';
import { type AttentionState, emptyLogScale, headroomOf, normalizeState } from './state.js';
import { joinSums } from './sums.js';

export interface CausalOptions {
  /** Positions in a chunk, up to `largestChunk`; changes the speed and nothing else. */
  readonly chunk?: number | undefined;
  /** What was read before these tokens; its gradient is not followed. */
  readonly state?: AttentionState | undefined;
}

export const defaultChunk = 64;
/** A chunk holds a matrix chunk × chunk: beyond some hundreds it costs more than all else, and 1,024 take 4 MB. */
export const largestChunk = 1024;

/** 1 where a key is at or before the query: [chunk, chunk]. */
function lowerTriangle(chunk: number): Tensor {
  const values = Array.from({ length: chunk * chunk }, (_, at) => Number(at % chunk <= Math.floor(at / chunk)));
  return constant('float32', [chunk, chunk], values);
}

/** The state to start from, without its gradient; normalized where the features have logarithms. */
function startOf(
  state: AttentionState | undefined,
  { batch, heads, features, valueDim }: { batch: Dim; heads: Dim; features: number; valueDim: number },
  isLogarithmic: boolean,
): AttentionState {
  if (state === undefined) {
    const nothing = broadcastTo(scalar(0), [batch, heads, features, valueDim + 1]);
    return { sum: nothing, logScale: broadcastTo(scalar(emptyLogScale), [batch, heads, features]) };
  }
  const given = { sum: stopGradient(state.sum), logScale: stopGradient(state.logScale) };
  return isLogarithmic ? normalizeState(given) : given;
}

/** Whether each position [batch, length] has seen a key, counting what a state has read. */
function seenKeys(keyMask: Tensor<'bool'>, state: AttentionState | undefined): Tensor<'bool'> {
  const counts = cumulativeSum(cast(keyMask, 'float32'), 1);
  if (state === undefined) return less(0, counts);
  const batch = state.logScale.dim(0);
  const read = less(emptyLogScale / 2, max(state.logScale, [1, 2])); // [batch]
  return less(0, add(counts, reshape(cast(read, 'float32'), [batch, 1])));
}

/**
 * The state after all chunks, at a scale per feature where it loses nothing so, else from the twin. Dividing by the
 * denominators takes the headroom away and leaves every feature the whole of float32's range.
 */
function finalState({ sums, scale }: ChunkState, twin: CausalTwin | undefined): AttentionState {
  const total = swapLast(joinSums(sums));
  const [batch, heads, features] = total.shape as [Dim, Dim, Dim];
  const logScale = broadcastTo(reshape(scale, [batch, heads, 1]), [batch, heads, features]);
  if (twin === undefined) return { sum: stopGradient(total), logScale: stopGradient(logScale) };
  const chunked = { sum: multiply(total, 1 / headroomOf(true)), logScale };
  const dim = total.staticDim(-1) - 1;
  const [finalSum, finalScale] = conditional(isLossyState(total, slice(total, -1, dim)), twin.state, () => {
    const state = normalizeState(chunked);
    return [state.sum, state.logScale];
  });
  return { sum: stopGradient(finalSum!), logScale: stopGradient(finalScale!) };
}

/**
 * Causal attention of [batch, length, heads, dim] through a feature map, in time and memory linear in the length.
 * Returns the output [batch, length, heads, valueDim] and the state after the last token, whose gradient is not followed.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for features that cannot be causal (an epsilon) and for a chunk out of
 *   range.
 */
export function causalAttention(
  given: AttentionInputs,
  features: FeatureMap,
  { chunk = defaultChunk, state }: CausalOptions = {},
): { output: Tensor; state: AttentionState } {
  checkInputs('causalAttention', given, true);
  const inputs = withoutHidden(given);
  refuseSequenceWide('causalAttention', features);
  if (!Number.isSafeInteger(chunk) || chunk < 1 || chunk > largestChunk) {
    throw new PerformerError(
      'CONFIG',
      `causalAttention: expected an integer from 1 to ${largestChunk} as chunk, got ${chunk}.`,
    );
  }
  const [batch, length, heads] = inputs.query.shape as [Dim, Dim, Dim, Dim];
  const valueDim = inputs.value.staticDim(-1);
  const map = guarded(features);
  expectPositions('causalAttention', inputs, map, state !== undefined);
  const position = positionsOf('causalAttention', inputs, map, (x) => x);

  const isPadded = subtractDims(roundUp(length, chunk), length) !== 0;
  const real = inputs.keyMask ?? (isPadded ? broadcastTo(cast(scalar(1), 'bool'), [batch, length]) : undefined);
  // Padding is written in int32, which every engine pads, and read back as a mask: [chunks, batch, 1, chunk, 1].
  const byChunk = (mask: Tensor<'bool'>) => {
    const rows = toSequence(cast(mask, 'int32'), chunk);
    return less(0, reshape(rows, [rows.dim(0), batch, 1, chunk, 1]));
  };
  const mask = real === undefined ? undefined : byChunk(real);
  const visible = inputs.keyMask === undefined ? undefined : byChunk(seenKeys(inputs.keyMask, state));
  const optional = {
    ...(mask === undefined ? {} : { mask }),
    ...(visible === undefined ? {} : { visible }),
    ...(position.query === undefined ? {} : { queryPosition: toSequence(position.query, chunk) }),
    ...(position.key === undefined ? {} : { keyPosition: toSequence(position.key, chunk) }),
  };
  const chunked = (x: Tensor | undefined) => (x === undefined ? undefined : toChunks(x, chunk));
  const queryRows = () => toChunks(inputs.query, chunk); // [chunks, batch, heads, chunk, dim]
  const keyRows = () => toChunks(inputs.key, chunk);
  const readQuery = (x: Tensor) => map.query(x, chunked(position.query)).logValues;
  const readKey = (x: Tensor) => map.key(x, chunked(position.key)).logFeatures;
  const keyFeatures = map.key(keyRows(), chunked(position.key)); // What kind they are; nothing reads them.
  const isLogarithmic = readQuery(queryRows()) !== undefined && keyFeatures.logFeatures !== undefined;
  const start = startOf(state, { batch, heads, features: map.featureCount, valueDim }, isLogarithmic);
  const twin = isLogarithmic
    ? causalTwin({
        query: () => readQuery(queryRows())!,
        key: () => readKey(keyRows())!,
        value: () => toChunks(inputs.value, chunk),
        mask,
        visible,
        state: start,
      })
    : undefined;
  const loop = chunkLoop({
    form: { map, tril: lowerTriangle(chunk), isLogarithmic, headroom: headroomOf(isLogarithmic) },
    hasRowScales: !isLogarithmic && (keyFeatures.logScale?.rank ?? 0) > 0,
    tokens: {
      query: toSequence(inputs.query, chunk),
      key: toSequence(inputs.key, chunk),
      value: toSequence(inputs.value, chunk),
      ...optional,
    },
    start,
  });
  const learned = map.learned ?? [];
  const leaves = [inputs.query, inputs.key, inputs.value, ...learned];
  const finish = (output: Tensor, gradient: (g: Tensor) => readonly Tensor[]) => ({
    output: withGradient(leaves, [output], ([g]) =>
      gradient(g!).map((each, at) => (at < 3 ? fromSequence(each, length) : each)),
    )[0]!,
    state: finalState(loop.final, twin),
  });
  if (twin === undefined) return finish(joinRows(chunkRows(loop.output), length), loop.gradients);

  const lossy = isLossy(loop.rows, map.featureCount);
  const [rows, inverse] = conditional(
    lossy,
    () => {
      const [own, ownInverse] = twin.outputs() as [Tensor, Tensor];
      return [chunkRows(own), ownInverse];
    },
    () => [chunkRows(loop.output), loop.rows.inverse],
  ) as [Tensor, Tensor];
  const output = joinRows(rows, length);
  return finish(output, (g) =>
    conditional(
      lossy,
      () => {
        const own = { gradient: toChunks(g, chunk), output: toChunks(output, chunk), inverse };
        const [gQuery, gKey, gValue] = twin.gradients(weightedGradient(own)) as [Tensor, Tensor, Tensor];
        const [query, key] = [queryRows(), keyRows()];
        const results = [
          [readQuery(query)!, gQuery],
          [readKey(key)!, gKey],
        ] as const;
        const [ofQuery, ofKey, ...rest] = pullback(results, [query, key, ...learned]);
        const rows = [ofQuery!, ofKey!, gValue].map((x) => transpose(x, [0, 1, 3, 2, 4]));
        return [...rows, ...learned.map((like, at) => rest[at] ?? broadcastTo(scalar(0), like.shape))];
      },
      () => loop.gradients(g),
    ),
  );
}

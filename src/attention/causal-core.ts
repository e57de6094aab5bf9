/**
 * The two forms of causal attention of some tokens, of which neither is computed before it is known which one is right: the
 * loop over chunks (causal-loop.ts), and its twin in log space where that loses weights that count (causal-twin.ts). Both begin
 * with the same state, and either gives the state after the last token and the gradients.
 */
import { type Dim, roundUp, subtractDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  conditional,
  constant,
  cumulativeSum,
  exp,
  less,
  max,
  multiply,
  or,
  reshape,
  scalar,
  slice,
  stopGradient,
  subtract,
  type Tensor,
} from '../graph/index.js';
import type { ChunkState } from './causal-chunk.js';
import { type ChunkLoop, chunkLoop, swapLast } from './causal-loop.js';
import { type CausalTwin, causalTwin } from './causal-twin.js';
import { groupOf } from './heads.js';
import { type AttentionInputs, positionsOf, toSequence } from './layout.js';
import { keyRows, queryRows } from './rows.js';
import { type AttentionState, attentionStateLayout, headroomOf, normalizeState, seesKeys } from './state.js';
import { joinSums } from './sums.js';
import type { TermGradients } from './terms.js';
import { stateUnderflows, underflows } from './underflow.js';

/** 1 where a key is at or before the query, for all query heads of a group: [group·chunk, chunk]. */
function lowerTriangle(chunk: number, group: number): Tensor {
  const rows = group * chunk;
  const values = Array.from({ length: rows * chunk }, (_, at) => Number(at % chunk <= Math.floor(at / chunk) % chunk));
  return constant('float32', [rows, chunk], values);
}

/** The state to start from, normalized where the features have logarithms. */
function startOf(
  state: AttentionState | undefined,
  sizes: Parameters<typeof attentionStateLayout>[0],
  isLogarithmic: boolean,
): AttentionState {
  if (state === undefined) {
    const { sum, logScale } = attentionStateLayout(sizes);
    return {
      sum: broadcastTo(scalar(sum.initial), sum.shape),
      logScale: broadcastTo(scalar(logScale.initial), logScale.shape),
    };
  }
  const given = { sum: state.sum, logScale: stopGradient(state.logScale) };
  return isLogarithmic ? normalizeState(given) : given;
}

/** Whether each position [batch, length] has seen a key, counting what a state has read. */
function seenKeys(keyMask: Tensor<'bool'>, state: AttentionState | undefined): Tensor<'bool'> {
  const counts = cumulativeSum(cast(keyMask, 'float32'), 1);
  if (state === undefined) return less(0, counts);
  const read = seesKeys(max(state.logScale, [1, 2])); // [batch]
  return less(0, add(counts, reshape(cast(read, 'float32'), [state.logScale.dim(0), 1])));
}

export interface FinalState extends AttentionState {
  /** Whether the twin computed it; absent where there is none. */
  readonly isFromTwin: Tensor<'bool'> | undefined;
}

/**
 * The state after all chunks, at a scale per feature where it loses nothing so, else from the twin. Dividing by the
 * denominators takes the headroom away and leaves every feature the whole of float32's range.
 */
export function finalState({ sums, scale }: ChunkState, twin: CausalTwin | undefined): FinalState {
  const total = swapLast(joinSums(sums));
  const [batch, heads, features] = total.shape as [Dim, Dim, Dim];
  const logScale = broadcastTo(reshape(scale, [batch, heads, 1]), [batch, heads, features]);
  if (twin === undefined) return { sum: total, logScale: stopGradient(logScale), isFromTwin: undefined };
  const chunked = { sum: multiply(total, 1 / headroomOf(true)), logScale };
  const isFromTwin = stateUnderflows(total, slice(total, -1, total.staticDim(-1) - 1));
  const [finalSum, finalScale] = conditional(isFromTwin, twin.state, () => {
    const state = normalizeState(chunked);
    return [state.sum, state.logScale];
  });
  return { sum: finalSum!, logScale: stopGradient(finalScale!), isFromTwin };
}

export interface CausalCore {
  readonly loop: ChunkLoop;
  /** Of maps with logarithms. */
  readonly twin: CausalTwin | undefined;
  readonly start: AttentionState;
  /** [batch, length, 1, 1], false for queries that see no key; absent where each sees some. */
  readonly visible: Tensor<'bool'> | undefined;
  /** Whether the twin must give the sums; absent where there is none. */
  readonly isLossy: Tensor<'bool'> | undefined;
}

/** The two forms of the attention of some tokens, of which neither is computed yet. */
export function causalCore(
  inputs: AttentionInputs,
  map: FeatureMap,
  chunk: number,
  state?: AttentionState,
): CausalCore {
  const { query, key, value, keyMask } = inputs;
  const [batch, length, keyHeads] = key.shape as [Dim, Dim, Dim, Dim];
  const group = groupOf(query, key);
  const position = positionsOf('causalAttention', inputs, map, (x) => x); // [batch, length, 1, 1]
  const byRow = (mask: Tensor<'bool'>) => reshape(mask, [batch, 1, length, 1]);
  const whole = {
    ...{ query, key, value, queryPosition: position.query, keyPosition: position.key },
    mask: keyMask && byRow(keyMask),
  };
  // What kind they are: nothing reads them.
  const [ofQuery, ofKey] = [queryRows(map, whole, group).features, keyRows(map, whole).features];
  const isLogarithmic = ofQuery.logValues !== undefined && ofKey.logFeatures !== undefined;
  const sizes = { batch, keyHeads, featureCount: map.featureCount, valueDim: value.staticDim(-1) };
  const start = startOf(state, sizes, isLogarithmic);

  const decay = inputs.logDecay && reshape(inputs.logDecay, [batch, length, keyHeads, 1]);
  const isPadded = subtractDims(roundUp(length, chunk), length) !== 0;
  const real = keyMask ?? (isPadded ? broadcastTo(cast(scalar(1), 'bool'), [batch, length]) : undefined);
  // Padding is written in int32, which every engine pads, and read back as a mask: [chunks, batch, 1, chunk, 1].
  const byChunk = (mask: Tensor<'bool'>) => {
    const rows = toSequence(cast(mask, 'int32'), chunk);
    return less(0, reshape(rows, [rows.dim(0), batch, 1, chunk, 1]));
  };
  const sequence = (x: Tensor | undefined) => x && toSequence(x, chunk);
  const loop = chunkLoop({
    form: { map, group, tril: lowerTriangle(chunk, group), isLogarithmic, headroom: headroomOf(isLogarithmic) },
    hasRowScales: decay !== undefined || (!isLogarithmic && (ofKey.logScale?.rank ?? 0) > 0),
    tokens: {
      ...{ query: toSequence(query, chunk), key: toSequence(key, chunk), value: toSequence(value, chunk) },
      mask: real && byChunk(real),
      queryPosition: sequence(position.query),
      keyPosition: sequence(position.key),
      decaySoFar: decay && cumulativeSum(toSequence(decay, chunk), 2),
    },
    start,
  });
  const seen = keyMask && seenKeys(keyMask, state);
  const visible = seen && reshape(seen, [batch, length, 1, 1]);
  if (!isLogarithmic) return { loop, twin: undefined, start, visible, isLossy: undefined };
  const { numerator: sums, denominator, seen: weight } = loop.terms;
  const rows = { denominator, sums, seen: weight!, visible: seen && byChunk(seen) };
  const twin = causalTwin({ map, group, tokens: whole, logDecay: decay, start });
  return { loop, twin, start, visible, isLossy: underflows(rows, map.featureCount) };
}

/**
 * The gradients of queries, keys, values and the scales of keys [chunks, batch, chunk, ·, dim or 1], of learned tensors, and of
 * the sum of the start.
 */
export function causalGradients(
  { loop, twin, isLossy }: CausalCore,
  { logScale, isFromTwin }: FinalState,
  g: TermGradients,
  gSum: Tensor | undefined,
  { chunk, termScale }: { readonly chunk: number; readonly termScale: Tensor },
): readonly Tensor[] {
  const { scale } = loop.final; // The state's sums are those of the loop at another scale, without the headroom.
  const relative = () =>
    multiply(exp(subtract(scale, reshape(logScale, [...logScale.shape, 1]))), 1 / headroomOf(twin !== undefined));
  const ofLoop = () => loop.gradients(g, gSum && swapLast(multiply(gSum, relative())));
  const flat = (found: ReturnType<typeof ofLoop>) => [...found.tokens, ...found.learned, found.start];
  if (twin === undefined) return flat(ofLoop());
  return conditional(
    gSum === undefined ? isLossy! : or(isLossy!, isFromTwin!),
    () => {
      const found = twin.gradients(g, gSum && { sum: gSum, logScale, termScale });
      return flat({ ...found, tokens: found.tokens.map((x) => toSequence(x, chunk)) });
    },
    () => flat(ofLoop()),
  );
}

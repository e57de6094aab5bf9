/**
 * Causal FAVOR+ in chunks: exact, leak-free, linear in the length (Choromanski et al. 2021, section 2.5.1 and app. B.1,
 * in the chunk-parallel form with a stabiliser for each chunk).
 *
 * Position i gets o_i = Σ_{j≤i} φ(q_i)·φ(k_j) v_j / Σ_{j≤i} φ(q_i)·φ(k_j). A loop over the chunks carries the sums of the keys
 * before (causal-chunk.ts has the formulas): features and scores of a chunk stay in cache and are never written out. The
 * gradient is a loop from the last chunk to the first, which computes the features again; it begins with the gradient of the
 * state after the last token and ends with that of the state before the first. Keys carry a factor e^{logScale}, of which the
 * largest so far is taken out; it cancels exactly, so an output depends on nothing that comes later, except within its chunk
 * through rounding. Where keys decay, each row has a scale of its own (causal-rows.ts).
 *
 * Where float32 loses weights that count (underflow.ts says how this is known), which it does from a standard deviation of 5
 * of queries and keys on, the sums, their gradients and the state are computed in log space instead
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
  sum as total,
  withGradient,
} from '../graph/index.js';
import type { ChunkState } from './causal-chunk.js';
import { type ChunkLoop, chunkLoop, swapLast } from './causal-loop.js';
import { type CausalTwin, causalTwin } from './causal-twin.js';
import { decayGradient } from './decay.js';
import { guarded } from './guard.js';
import { groupOf } from './heads.js';
import {
  type AttentionInputs,
  checkInputs,
  chunkRows,
  expectPositions,
  fromSequence,
  joinRows,
  positionsOf,
  refuseSequenceWide,
  splitRows,
  toSequence,
  withoutHidden,
} from './layout.js';
import { keyRows, queryRows } from './rows.js';
import {
  type AttentionState,
  attentionStateLayout,
  decayAfter,
  headroomOf,
  normalizeState,
  seesKeys,
} from './state.js';
import { joinSums } from './sums.js';
import { type AttentionTerms, divideTerms, type TermGradients } from './terms.js';
import { stateUnderflows, underflows } from './underflow.js';

/** What causal attention has beside its inputs. */
export interface CausalOptions {
  /** Positions in a chunk, up to `largestChunk`; changes the speed and nothing else. */
  readonly chunk?: number | undefined;
  /** What was read before these tokens. */
  readonly state?: AttentionState | undefined;
}

/** Positions in a chunk unless given. */
export const defaultChunk = 64;
/** A chunk holds a matrix chunk × chunk: beyond some hundreds it costs more than all else, and 1,024 take 4 MB. */
export const largestChunk = 1024;

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

interface FinalState extends AttentionState {
  /** Whether the twin computed it; absent where there is none. */
  readonly isFromTwin: Tensor<'bool'> | undefined;
}

/**
 * The state after all chunks, at a scale per feature where it loses nothing so, else from the twin. Dividing by the
 * denominators takes the headroom away and leaves every feature the whole of float32's range.
 */
function finalState({ sums, scale }: ChunkState, twin: CausalTwin | undefined): FinalState {
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

/** Throws unless the inputs fit the features and a chunk. */
function checkCausal(where: string, inputs: AttentionInputs, features: FeatureMap, options: CausalOptions): void {
  const { chunk = defaultChunk, state } = options;
  checkInputs(where, inputs, true, true);
  refuseSequenceWide(where, features);
  expectPositions(where, inputs, features, state !== undefined);
  if (!Number.isSafeInteger(chunk) || chunk < 1 || chunk > largestChunk) {
    throw new PerformerError(
      'CONFIG',
      `${where}: expected an integer from 1 to ${largestChunk} as chunk, got ${chunk}.`,
    );
  }
}

interface CausalCore {
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
function causalCore(inputs: AttentionInputs, map: FeatureMap, chunk: number, state?: AttentionState): CausalCore {
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
function causalGradients(
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

/**
 * The sums of causal attention, of every position over the keys up to it, and the state after the last token, with which
 * another call, or `recurrentAttention`, reads on. Gradients go through both, and to the state that was given.
 *
 * @throws as `causalAttention`.
 */
export function causalTerms(
  given: AttentionInputs,
  features: FeatureMap,
  options: CausalOptions = {},
): { readonly terms: AttentionTerms; readonly state: AttentionState } {
  checkCausal('causalAttention', given, features, options);
  const { chunk = defaultChunk, state } = options;
  const inputs = withoutHidden(given);
  const map = guarded(features);
  const core = causalCore(inputs, map, chunk, state);
  const { loop, twin, start, visible, isLossy } = core;
  const length = inputs.query.dim(1);
  const chunked = () => [loop.terms.numerator, loop.terms.denominator, loop.terms.logScale].map(chunkRows);
  const rows =
    twin === undefined ? chunked() : conditional(isLossy!, () => twin.terms().map((x) => splitRows(x, chunk)), chunked);
  const last = finalState(loop.final, twin);
  const { query, key, value, logDecay } = inputs;
  const leaves = [query, key, value, ...(map.learned ?? []), start.sum, ...(logDecay === undefined ? [] : [logDecay])];
  const outputs = [...rows.map((x) => joinRows(x, length)), last.sum];
  const [numerator, denominator, logScale, sum] = withGradient(
    leaves,
    outputs,
    ([ofNumerator, ofDenominator, ofScale, ofSum]) => {
      const orZeros = (x: Tensor | undefined, at: number) => x ?? broadcastTo(scalar(0), outputs[at]!.shape);
      const g = { numerator: orZeros(ofNumerator, 0), denominator: orZeros(ofDenominator, 1), logScale: ofScale };
      const found = causalGradients(core, last, g, ofSum, { chunk, termScale: outputs[2]! });
      const [gQuery, gKey, gValue, ofKeys] = found.slice(0, 4).map((each) => fromSequence(each, length));
      const ofDecay = () =>
        decayGradient({
          ...{ numerator: outputs[0]!, denominator: outputs[1]!, gradients: g, ofKeys: ofKeys! },
          state: ofSum && { sum: outputs[3]!, gradient: ofSum },
        });
      return [gQuery, gKey, gValue, ...found.slice(4), ...(logDecay === undefined ? [] : [ofDecay()])];
    },
  ) as [Tensor, Tensor, Tensor, Tensor];
  const mass = loop.terms.mass && stopGradient(joinRows(chunkRows(loop.terms.mass), length));
  return {
    terms: { numerator, denominator, logScale, mass, visible },
    state: { sum, logScale: last.logScale, logDecay: decayAfter(state, logDecay && total(logDecay, 1)) },
  };
}

/**
 * Causal attention of [batch, length, heads, dim] through a feature map, in time and memory linear in the length.
 * Returns the output [batch, length, heads, valueDim] and the state after the last token.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for features that cannot be causal (an epsilon) and for a chunk out of
 *   range.
 */
export function causalAttention(
  inputs: AttentionInputs,
  features: FeatureMap,
  options: CausalOptions = {},
): { output: Tensor; state: AttentionState } {
  const { terms, state } = causalTerms(inputs, features, options);
  return { output: divideTerms(terms), state };
}

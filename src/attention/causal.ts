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
 * (causal-log-space.ts): each is a branch of the graph, and the other one does not run (causal-core.ts).
 */
import { PerformerError } from '../base/errors.js';
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  conditional,
  scalar,
  stopGradient,
  type Tensor,
  sum as total,
  withGradient,
} from '../graph/index.js';
import { causalCore, causalGradients, finalState } from './causal-core.js';
import { decayGradient } from './decay.js';
import { guarded } from './guard.js';
import {
  type AttentionInputs,
  checkInputs,
  chunkRows,
  expectPositions,
  fromSequence,
  joinRows,
  refuseSequenceWide,
  splitRows,
  withoutHidden,
} from './layout.js';
import { type AttentionState, decayAfter } from './state.js';
import { type AttentionTerms, divideTerms } from './terms.js';

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

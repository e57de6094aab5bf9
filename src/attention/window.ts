/**
 * Exact softmax attention to the nearest tokens alone, linear in the length: a causal query sees itself and the `window − 1`
 * keys before it, another one the keys that are fewer than `window` places away on either side.
 *
 * A loop over blocks of queries hands on the last keys of the blocks before, its tail, so that scores stay in cache and are
 * never written out; the gradient is a loop too, which computes the weights again. With P the weights of a block, o its
 * outputs, s the logarithms of their sums, and g the gradients:
 *
 *   P = e^{QKᵀ/√dim − s};   dV = Pᵀ g_o;   dS = P∘(g_o Vᵀ − Σ g_o∘o + g_s);   dQ = dS K/√dim;   dK = dSᵀ Q/√dim
 *
 * What a block gives to the keys of its tail waits in the loop until the last block that sees them.
 */
import type { Dtype } from '../base/array.js';
import { addDims, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import {
  add,
  and,
  broadcastTo,
  cast,
  concatenate,
  constant,
  exp,
  less,
  matmul,
  multiply,
  negate,
  pad,
  reshape,
  scalar,
  scan,
  slice,
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { gatherHeads, groupOf, splitHeads } from './heads.js';
import { type AttentionInputs, checkInputs, fromSequence, swapHeads, toSequence, withoutHidden } from './layout.js';
import { type AttentionTerms, divideTerms } from './terms.js';
import { meanOf, seesSome } from './visible.js';
import { emptyWindow, expectWindow, joinRows, readOn, realOf, refuseState, type WindowState } from './window-state.js';

/** What attention to a window has beside its inputs. */
export interface WindowOptions {
  /** Keys that a query sees: of causal attention the last ones, its own among them; else those nearer than this on either side. */
  readonly window: number;
  readonly isCausal: boolean;
  /** The last `window` tokens that were read before these. Causal only. */
  readonly state?: WindowState | undefined;
}

/** Queries of a block: fewer have dearer products, more see more keys that are not theirs. */
function rowsOf(length: Dim): number {
  return typeof length === 'number' ? Math.min(length, 64) : 64;
}

interface Band {
  /** Keys that a query sees, the last of them its own. */
  readonly span: number;
  /** Queries of a block. */
  readonly rows: number;
  /** Query heads for each key head. */
  readonly group: number;
  /** Which keys of the tail and of the block a row of the block may see: [rows, span + rows]. */
  readonly within: Tensor<'bool'>;
}

function bandOf(span: number, length: Dim, group: number): Band {
  const rows = rowsOf(length);
  const keys = span + rows;
  const values = Array.from({ length: rows * keys }, (_, at) => {
    const behind = Math.floor(at / keys) + span - (at % keys); // how far the key lies behind the query
    return Number(behind >= 0 && behind < span);
  });
  return { span, rows, group, within: less(0, constant('float32', [rows, keys], values)) };
}

/** The last `span` of them. */
function tailOf(keys: WindowState, rows: number): WindowState {
  const last = (x: Tensor) => slice(x, 2, rows);
  return { key: last(keys.key), value: last(keys.value), isReal: last(keys.isReal) };
}

function blockOf([key, value, isReal]: readonly Tensor[]): WindowState {
  return { key: swapHeads(key!), value: swapHeads(value!), isReal: swapHeads(isReal!) };
}

const listed = ({ key, value, isReal }: WindowState) => [key, value, isReal] as const;
const named = ([key, value, isReal]: readonly Tensor[]): WindowState => ({ key: key!, value: value!, isReal: isReal! });

/** The scores of a block [batch, heads, rows, keys], and which of them count: [batch, 1, rows, keys]. */
function scoresOf(query: Tensor, { key, isReal }: WindowState, { group, rows, within }: Band) {
  const scale = key.staticDim(-1) ** -0.5;
  const scores = matmul(gatherHeads(swapHeads(query), group), key, { transposeRight: true, scale });
  const [batch, , keys] = isReal.shape as [Dim, Dim, Dim];
  const visible = and(within, less(0, reshape(isReal, [batch, 1, 1, keys])));
  return { scores: splitHeads(scores, group, rows), visible };
}

interface Sequences {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly isReal: Tensor;
}

interface Means {
  /** [batch, length, heads, dim] */
  readonly mean: Tensor;
  /** The logarithms of the sums of weights, [batch, length, heads, 1]. */
  readonly logScale: Tensor;
  /** 1 for rows that see some key, [batch, length, 1, 1]. */
  readonly seen: Tensor;
}

function windowMeans(band: Band, { query, key, value, isReal }: Sequences, tail: WindowState): Means {
  const sequences = [query, key, value, isReal].map((x) => toSequence(x, band.rows));
  const { items } = scan(listed(tail), sequences, (before, [block, ...own]) => {
    const keys = joinRows(named(before), blockOf(own));
    const { scores, visible } = scoresOf(block!, keys, band);
    const seen = seesSome(visible);
    const { numerator, logScale } = meanOf(scores, { value: keys.value, visible, seen, group: band.group });
    return {
      states: listed(tailOf(keys, band.rows)),
      items: [numerator, logScale, swapHeads(cast(seen, 'float32'))],
    };
  });
  const [mean, logScale, seen] = items.map((x) => fromSequence(x, query.dim(1))) as [Tensor, Tensor, Tensor];
  return { mean, logScale, seen };
}

interface MeanGradients {
  readonly ofMean: Tensor;
  /** Absent where nothing reads it. */
  readonly ofLogScale: Tensor | undefined;
}

/** The gradients of queries, keys and values [batch, length, ·, dim], and of the keys and values of the tail. */
function windowGradients(
  band: Band,
  { query, key, value, isReal }: Sequences,
  tail: WindowState,
  { mean, logScale }: Means,
  { ofMean, ofLogScale }: MeanGradients,
): readonly Tensor[] {
  const { group, rows, span } = band;
  const length = query.dim(1);
  const spread = negate(sum(multiply(ofMean, mean), -1, true));
  const offset = ofLogScale === undefined ? spread : add(spread, ofLogScale); // [batch, length, heads, 1]
  const sequences = [query, ofMean, offset, logScale, key, value, isReal].map((x) => toSequence(x, rows));
  const waiting = [tail.key, tail.value].map((x) => broadcastTo(scalar(0), x.shape));
  const start = [...listed(tail), ...waiting];
  const { states, items } = scan(start, sequences, (before, [block, g, shift, total, ...own]) => {
    const keys = joinRows(named(before), blockOf(own));
    const { scores, visible } = scoresOf(block!, keys, band);
    const weights = where(visible, exp(subtract(scores, swapHeads(total!))), scalar(0)); // P
    const gRows = gatherHeads(swapHeads(g!), group);
    const gWeights = splitHeads(matmul(gRows, keys.value, { transposeRight: true }), group, rows);
    const gScores = gatherHeads(multiply(weights, add(gWeights, swapHeads(shift!))), group); // dS
    const scale = keys.key.staticDim(-1) ** -0.5;
    const ofQuery = splitHeads(matmul(gScores, keys.key, { scale }), group, rows);
    const queries = gatherHeads(swapHeads(block!), group);
    const found = [
      matmul(gScores, queries, { transposeLeft: true, scale }),
      matmul(gatherHeads(weights, group), gRows, { transposeLeft: true }),
    ];
    const totals = found.map((x, at) => add(x, pad(before[3 + at]!, 2, 0, rows)));
    return {
      states: [...listed(tailOf(keys, rows)), ...totals.map((x) => slice(x, 2, rows))],
      items: [swapHeads(ofQuery), ...totals.map((x) => swapHeads(slice(x, 2, 0, rows)))],
    };
  });
  // The rows that left the loop are those of the tail and then the tokens'; the last ones are still in its states.
  const whole = roundUp(length, rows);
  const [ofKey, ofValue] = items
    .slice(1)
    .map((x, at) => concatenate([fromSequence(x, whole), swapHeads(states[3 + at]!)], 1));
  const ofTokens = (x: Tensor) => slice(x, 1, span, addDims(length, span));
  const ofTail = (x: Tensor) => swapHeads(slice(x, 1, 0, span));
  return [fromSequence(items[0]!, length), ofTokens(ofKey!), ofTokens(ofValue!), ofTail(ofKey!), ofTail(ofValue!)];
}

/** Each query over the `span` keys that end with its own, of which the tail has those before the first token. */
function bandTerms(inputs: AttentionInputs, tail: WindowState): AttentionTerms {
  const { query, key, value, keyMask } = inputs;
  const band = bandOf(tail.key.staticDim(2), query.dim(1), groupOf(query, key));
  const sequences = { query, key, value, isReal: realOf(inputs) };
  const means = windowMeans(band, sequences, tail);
  const leaves = [query, key, value, tail.key, tail.value];
  const [numerator, logScale] = withGradient(leaves, [means.mean, means.logScale], ([ofMean, ofLogScale]) =>
    windowGradients(band, sequences, tail, means, {
      ofMean: ofMean ?? broadcastTo(scalar(0), means.mean.shape),
      ofLogScale,
    }),
  ) as [Tensor, Tensor];
  return { numerator, denominator: undefined, logScale, visible: keyMask && less(0, means.seen) };
}

/** The sums of causal attention to a window, and the state after the last token. Throws as `windowAttention`. */
export function causalWindowTerms(
  given: AttentionInputs,
  window: number,
  state?: WindowState,
): { readonly terms: AttentionTerms; readonly state: WindowState } {
  checkInputs('windowAttention', given, true);
  expectWindow('windowAttention', window);
  const inputs = withoutHidden(given);
  const tail = state ?? emptyWindow(inputs, window);
  return { terms: bandTerms(inputs, tail), state: readOn(tail, inputs) };
}

/** The sums of every query over the keys that are fewer than `window` places away. Throws as `windowAttention`. */
export function bidirectionalWindowTerms(given: AttentionInputs, window: number): AttentionTerms {
  checkInputs('windowAttention', given, true);
  expectWindow('windowAttention', window);
  const inputs = withoutHidden(given);
  const { query, key, value, keyMask } = inputs;
  // A query that is read so much later than its key has as many keys before it as behind.
  const late = window - 1;
  // What fills the last block is added here, too: each tensor is moved once.
  const length = addDims(key.dim(1), late);
  const rest = subtractDims(roundUp(length, rowsOf(length)), length);
  const ahead = addDims(late, rest);
  const real = pad(realOf(inputs), 1, 0, ahead);
  const moved = {
    ...{ query: pad(query, 1, late, rest), key: pad(key, 1, 0, ahead), value: pad(value, 1, 0, ahead) },
    keyMask: less(0, reshape(real, real.shape.slice(0, 2))),
  };
  const terms = bandTerms(moved, emptyWindow(moved, 2 * window - 1));
  const back = <D extends Dtype>(x: Tensor<D>) => slice(x, 1, late, length);
  return {
    numerator: back(terms.numerator),
    denominator: undefined,
    logScale: back(terms.logScale),
    visible: keyMask && back(terms.visible!),
  };
}

/**
 * Exact softmax attention to the nearest keys alone, [batch, length, heads, dim] of queries, keys and values of one length, in
 * time and memory linear in it: the output, and of causal attention the state after it.
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for a window that is no positive integer, and for a state of attention that
 *   is not causal.
 */
export function windowAttention(
  inputs: AttentionInputs,
  { window, isCausal, state }: WindowOptions,
): { output: Tensor; state: WindowState | undefined } {
  if (isCausal) {
    const { terms, state: next } = causalWindowTerms(inputs, window, state);
    return { output: divideTerms(terms), state: next };
  }
  refuseState('windowAttention', state);
  return { output: divideTerms(bidirectionalWindowTerms(inputs, window)), state: undefined };
}

/** What is known of the tokens of a pass before any layer runs: padding, masks and positions. */
import type { Dtype } from '../base/array.js';
import { addDims, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { type Dropout, maskOfLengths, positionsFrom, type TokenContext } from '../blocks/index.js';
import {
  add,
  broadcastTo,
  concatenate,
  equal,
  less,
  pad,
  range,
  reshape,
  scalar,
  scope,
  size,
  slice,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';
import type { Mixer } from '../mixers/index.js';
import { anglesOf } from './positions.js';
import type { TrunkConfig } from './trunk-options.js';

/** The tokens of a pass: how they are padded, which of them are real, and where they stand in their text. */
export interface TokenFrame {
  readonly length: Dim;
  /** Memory tokens that this pass reads before them. */
  readonly memory: number;
  /** Tokens read before, [batch] int32. */
  readonly start: Tensor<'int32'>;
  /** How many tokens of each row are real, [batch] int32. */
  readonly counts: Tensor<'int32'>;
  /** Of all that layers read: memory tokens, tokens and the padding to whole chunks. */
  readonly context: TokenContext;
  /** Of tokens and padding alone, whose positions count no memory tokens. */
  readonly tokens: Pick<TokenContext, 'positions' | 'mask'>;
  /** x [batch, length, …] with zeros for the padding. */
  pad<D extends Dtype>(x: Tensor<D>): Tensor<D>;
}

export interface FrameInputs {
  readonly batch: Dim;
  readonly length: Dim;
  readonly state?: { readonly position: Tensor<'int32'> } | undefined;
  /** How many tokens of each row are real, [batch] int32; all unless given. */
  readonly lengths?: Tensor<'int32'> | undefined;
  readonly dropout?: Dropout | undefined;
}

export function frameOf(
  config: TrunkConfig,
  mixers: readonly Mixer[],
  chunk: number,
  { batch, length, state, lengths, dropout: given }: FrameInputs,
): TokenFrame {
  // Padding to whole chunks happens once, on the tokens, and not on the activations of every layer.
  const isChunked = mixers.some(({ traits }) => traits.isChunked) && !(state !== undefined && length === 1);
  const { memoryTokens } = config;
  const memory = state === undefined ? memoryTokens : 0; // with a state they were read at its beginning
  const total = addDims(memory, length);
  const whole = isChunked ? roundUp(total, chunk) : total;
  const padding = subtractDims(whole, total);
  const all = (length: Dim) => broadcastTo(size(length, 'int32'), [batch]);
  const masked = lengths === undefined ? (padding === 0 ? undefined : all(total)) : withMemory(lengths, memory);
  const start = state?.position ?? broadcastTo(scalar(0, 'int32'), [batch]);
  const ofTokens = positionsFrom(start, subtractDims(whole, memory));
  const first = state === undefined ? start : add(start, memoryTokens);
  const positions = memoryTokens === 0 ? ofTokens : positionsFrom(first, whole);
  const mask = maskOfLengths(masked, whole); // [batch, whole]
  const column = masked === undefined ? undefined : reshape(masked, [batch, 1]);
  return {
    ...{ length, memory, start },
    counts: lengths ?? all(length),
    context: {
      length: total,
      positions,
      mask,
      angles: scope('positions', () => anglesOf(config.positions, positions, config.headDim)),
      dropout: given,
      takeLast: lastTaker(batch, whole, column),
    },
    tokens: { positions: ofTokens, mask: mask && (memory === 0 ? mask : slice(mask, 1, memory, whole)) },
    pad: (x) => pad(x, 1, 0, padding),
  };
}

/** How many of memory tokens and tokens are real: a row without tokens reads no memory tokens. */
function withMemory(lengths: Tensor<'int32'>, memory: number): Tensor<'int32'> {
  return memory === 0 ? lengths : where(less(0, lengths), add(lengths, memory), scalar(0, 'int32'));
}

/**
 * Takes the last real tokens of each row, as many as `before` has: of a row with `counts` tokens they lie from place `counts` on
 * in `before` and x together. Without `before` it takes one, or zeros of a row without tokens.
 */
function lastTaker(
  batch: Dim,
  whole: Dim,
  counts: Tensor<'int32'> | undefined,
): (x: Tensor, before?: Tensor) => Tensor {
  return (x, before = broadcastTo(scalar(0), [batch, 1, x.staticDim(-1)])) => {
    const tokens = before.staticDim(1);
    if (counts === undefined && tokens === 1) return slice(x, 1, subtractDims(whole, 1), whole);
    const rows = concatenate([before, x], 1);
    const end = addDims(whole, tokens);
    if (counts === undefined) return slice(rows, 1, whole, end);
    const taken = Array.from({ length: tokens }, (_, at) => {
      const isTaken = reshape(equal(range(end), add(counts, at)), [batch, end, 1]);
      return sum(where(isTaken, rows, scalar(0)), 1, true); // [batch, 1, ·]
    });
    return concatenate(taken, 1);
  };
}

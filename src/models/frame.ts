/** What is known of the tokens of a pass before any layer runs: padding, masks and positions. */
import type { Dtype } from '../base/array.js';
import { addDims, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { type Dropout, maskOfLengths, positionsFrom, type TokenContext } from '../blocks/index.js';
import {
  add,
  broadcastTo,
  equal,
  less,
  pad,
  range,
  reshape,
  scalar,
  scope,
  size,
  slice,
  subtract,
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

/** Takes the last real token of each row; of a row without one, what was there `before` (or zeros). */
function lastTaker(
  batch: Dim,
  whole: Dim,
  counts: Tensor<'int32'> | undefined,
): (x: Tensor, before?: Tensor) => Tensor {
  if (counts === undefined) return (x) => slice(x, 1, subtractDims(whole, 1), whole);
  const isLast = reshape(equal(range(whole), subtract(counts, 1)), [batch, whole, 1]);
  return (x, before) => {
    const last = sum(where(isLast, x, scalar(0)), 1, true); // [batch, 1, ·]
    if (before === undefined) return last;
    return where(reshape(less(0, counts), [batch, 1, 1]), last, before);
  };
}

/** What is known of the tokens of a pass before any layer runs: padding, masks and positions. */
import type { Dtype } from '../base/array.js';
import { type Dim, roundUp, subtractDims } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { type Dropout, maskOfLengths, positionsFrom, type TokenContext } from '../blocks/index.js';
import {
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
import { attentionKinds, type TrunkConfig } from './trunk-options.js';

/** The tokens of a pass: how they are padded, which of them are real, and where they stand in their text. */
export interface TokenFrame {
  readonly length: Dim;
  /** A multiple of the chunk, where whole chunks are read. */
  readonly whole: Dim;
  /** Tokens read before, [batch] int32. */
  readonly start: Tensor<'int32'>;
  /** How many tokens of each row are real, [batch] int32. */
  readonly counts: Tensor<'int32'>;
  readonly context: TokenContext;
  /** x [batch, length, …] with zeros up to the whole length. */
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
  where: string,
  config: TrunkConfig,
  mixers: readonly Mixer[],
  chunk: number,
  { batch, length, state, lengths, dropout: given }: FrameInputs,
): TokenFrame {
  if (lengths !== undefined && mixers.some(({ traits }) => !traits.isRagged)) {
    throw new PerformerError(
      'CONFIG',
      `${where}: expected rows of one length, as the state of attention: '${attentionKinds(config)}' keeps no mask, got lengths.`,
    );
  }
  // Padding to whole chunks happens once, on the tokens, and not on the activations of every layer.
  const isChunked = mixers.some(({ traits }) => traits.isChunked) && !(state !== undefined && length === 1);
  const whole = isChunked ? roundUp(length, chunk) : length;
  const padding = subtractDims(whole, length);
  const all = () => broadcastTo(size(length, 'int32'), [batch]);
  const masked = lengths ?? (padding === 0 ? undefined : all());
  const start = state?.position ?? broadcastTo(scalar(0, 'int32'), [batch]);
  const positions = positionsFrom(start, whole);
  const column = masked === undefined ? undefined : reshape(masked, [batch, 1]);
  return {
    length,
    whole,
    start,
    counts: masked ?? all(),
    context: {
      length,
      positions,
      mask: maskOfLengths(masked, whole), // [batch, whole]
      angles: scope('positions', () => anglesOf(config.positions, positions, config.headDim)),
      dropout: given,
      takeLast: lastTaker(batch, whole, column),
    },
    pad: (x) => pad(x, 1, 0, padding),
  };
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

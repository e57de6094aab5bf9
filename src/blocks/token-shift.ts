/**
 * Token shift: the first half of the channels is taken from the token before. It gives each layer the pair of
 * neighbouring tokens for nothing, which kernel attention is slow to learn.
 */
import type { Dim } from '../base/dimension.js';
import { broadcastTo, concatenate, scalar, slice, type Tensor } from '../graph/index.js';

/** x [batch, length, dim], previous [batch, 1, ⌊dim/2⌋] (zeros at the start) → [batch, length, dim]. */
export function shiftTokens(x: Tensor, previous?: Tensor): Tensor {
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const half = shiftWidth(x.staticDim(-1));
  const before = previous ?? broadcastTo(scalar(0), [batch, 1, half]);
  const padded = concatenate([before, slice(x, -1, 0, half)], 1); // [batch, length + 1, half]
  return concatenate([slice(padded, 1, 0, length), slice(x, -1, half)], -1);
}

/** How many channels are shifted. */
export function shiftWidth(dim: number): number {
  return Math.floor(dim / 2);
}

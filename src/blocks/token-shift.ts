/**
 * Token shift: the first half of the channels is taken from the token before. It gives each layer the pair of
 * neighbouring tokens for nothing, which kernel attention is slow to learn.
 */
import { type Dim, subtractDims } from '../base/dimension.js';
import { broadcastTo, concatenate, scalar, slice, type Tensor, withGradient } from '../graph/index.js';

/** x [batch, length, dim], previous [batch, 1, ⌊dim/2⌋] (zeros at the start) → [batch, length, dim]. */
export function shiftTokens(x: Tensor, previous?: Tensor): Tensor {
  const [batch, length] = x.shape as [Dim, Dim, Dim];
  const half = shiftWidth(x.staticDim(-1));
  const nothing = broadcastTo(scalar(0), [batch, 1, half]);
  const before = previous ?? nothing;
  const rest = slice(slice(x, -1, 0, half), 1, 0, subtractDims(length, 1));
  const first = length === 1 ? before : concatenate([before, rest], 1);
  const shifted = concatenate([first, slice(x, -1, half)], -1);
  // The gradient shifts back: cheaper than the padding and adding that slices have for theirs. A carried token is given.
  const [result] = withGradient([x], [shifted], ([g]) => {
    const back = concatenate([slice(slice(g!, -1, 0, half), 1, 1, length), nothing], 1);
    return [concatenate([back, slice(g!, -1, half)], -1)];
  });
  return result!;
}

/** How many channels are shifted. */
export function shiftWidth(dim: number): number {
  return Math.floor(dim / 2);
}

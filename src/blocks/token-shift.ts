/**
 * Token shift: half of the channels are taken from tokens before, which share them evenly: of two, the last token and the one
 * before it each give a quarter of all channels. It gives each layer its neighbours for nothing, which kernel attention is slow to learn.
 */
import { addDims, type Dim } from '../base/dimension.js';
import { broadcastTo, concatenate, scalar, slice, type Tensor, withGradient } from '../graph/index.js';

/** The channels [from, to) are those of the token that stands so many tokens `back`. */
interface Lane {
  readonly from: number;
  readonly to: number;
  readonly back: number;
}

/**
 * x [batch, length, dim] → [batch, length, dim]. It looks back at as many tokens as `before` has, [batch, tokens, ⌊dim/2⌋]:
 * those channels of the tokens that stood before x.
 */
export function shiftTokens(x: Tensor, before: Tensor): Tensor {
  const [batch, length, dim] = [x.shape[0] as Dim, x.shape[1] as Dim, x.staticDim(-1)];
  const tokens = before.staticDim(1);
  const lanes = lanesOf(dim, tokens);
  const unshifted = (rows: Tensor) => slice(rows, -1, shiftWidth(dim), dim);
  const lane = (rows: Tensor, { from, to }: Lane, start: number) =>
    slice(slice(rows, -1, from, to), 1, start, addDims(length, start));

  // One token has nothing before it but `before`.
  const rows = length === 1 ? before : concatenate([before, shiftedChannels(x)], 1);
  const shifted = lanes.map((each) => lane(rows, each, tokens - each.back));
  // The gradient shifts forth: cheaper than the padding and adding that slices have for theirs. `before` is given.
  const [result] = withGradient([x], [concatenate([...shifted, unshifted(x)], -1)], ([g]) => {
    const ahead = concatenate([shiftedChannels(g!), noTokens(batch, tokens, dim)], 1);
    return [concatenate([...lanes.map((each) => lane(ahead, each, each.back)), unshifted(g!)], -1)];
  });
  return result!;
}

function lanesOf(dim: number, tokens: number): readonly Lane[] {
  const border = (share: number) => Math.round((shiftWidth(dim) * share) / tokens);
  return Array.from({ length: tokens }, (_, at) => ({ from: border(at), to: border(at + 1), back: at + 1 }));
}

/** How many channels are shifted. */
export function shiftWidth(dim: number): number {
  return Math.floor(dim / 2);
}

/** The channels of x that are shifted: [batch, length, ⌊dim/2⌋]. */
export function shiftedChannels(x: Tensor): Tensor {
  return slice(x, -1, 0, shiftWidth(x.staticDim(-1)));
}

/** What stands before the first token: zeros. */
export function noTokens(batch: Dim, tokens: number, dim: number): Tensor {
  return broadcastTo(scalar(0), [batch, tokens, shiftWidth(dim)]);
}

/**
 * The far keys of the hybrid in blocks, by causal attention, forwards over the blocks and backwards, which loses no weight: so that keys
 * arrive two blocks late, each block of queries stands behind the keys of the block that ended one block before it.
 */
import { type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  broadcastTo,
  cast,
  concatenate,
  less,
  pad,
  reshape,
  reverse,
  scalar,
  slice,
  type Tensor,
} from '../graph/index.js';
import { causalTerms } from './causal.js';
import { type AttentionTerms, addTerms } from './terms.js';
import type { Blocks, PaddedTokens } from './token-blocks.js';

/** The sums of each query over the keys of blocks that are at least two away. */
export function lateBlockTerms(
  tokens: PaddedTokens,
  length: Dim,
  map: FeatureMap,
  blocks: Blocks,
  chunk?: number,
): AttentionTerms {
  const { count, rows } = blocks;
  const batch = tokens.query.dim(0);
  const [whole, twice] = [multiplyDims(count, rows), multiplyDims(count, 2 * rows)];
  const split = (x: Tensor) => reshape(x, [batch, count, rows, ...x.shape.slice(2)]);
  const nothing = (x: Tensor) => broadcastTo(scalar(0), x.shape);
  const oneWay = (turn: (x: Tensor) => Tensor): AttentionTerms => {
    const sequence = (first: Tensor, second: Tensor) => {
      const joined = concatenate([first, second], 2);
      return reshape(joined, [batch, twice, ...joined.shape.slice(3)]);
    };
    const ofKeys = (x: Tensor) => {
      const late = slice(pad(turn(split(x)), 1, 2, 0), 1, 0, count);
      return sequence(late, nothing(late));
    };
    const ofQueries = (x: Tensor) => sequence(nothing(split(x)), turn(split(x)));
    const position = (x: Tensor | undefined) => x && reshape(x, [batch, twice]);
    const { terms } = causalTerms(
      {
        ...{ query: ofQueries(tokens.query), key: ofKeys(tokens.key), value: ofKeys(tokens.value) },
        keyMask: less(0, reshape(ofKeys(tokens.isReal), [batch, twice])),
        queryPosition: position(tokens.queryPosition && ofQueries(tokens.queryPosition)),
        keyPosition: position(tokens.keyPosition && ofKeys(tokens.keyPosition)),
      },
      map,
      { chunk },
    );
    const back = (x: Tensor) => {
      const parts = turn(slice(reshape(x, [batch, count, 2 * rows, ...x.shape.slice(2)]), 2, rows));
      return slice(reshape(parts, [batch, whole, ...x.shape.slice(2)]), 1, 0, length);
    };
    const { numerator, denominator, logScale, mass, visible } = terms;
    return {
      ...{ numerator: back(numerator), denominator: denominator && back(denominator), logScale: back(logScale) },
      ...{ mass: mass && back(mass), visible: visible && less(0, back(cast(visible, 'float32'))) },
    };
  };
  return addTerms([oneWay((x) => x), oneWay((x) => reverse(x, 1))]);
}

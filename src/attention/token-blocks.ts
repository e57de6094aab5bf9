/** Tokens in blocks, of which each sees itself and the two beside it apart from all others. */
import { addDims, ceilDivide, type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  constant,
  cumulativeSum,
  less,
  maximum,
  minimum,
  pad,
  range,
  reshape,
  size as sizeOf,
  slice,
  subtract,
  type Tensor,
  transpose,
  withGradient,
} from '../graph/index.js';
import { groupOf } from './heads.js';
import { type AttentionInputs, padLength, positionsOf, swapHeads } from './layout.js';
import { takeOfEach } from './take.js';
import { realOf } from './window-state.js';

/** What is computed in blocks: [batch, keyHeads·blocks, group·rows, ·] of queries, [batch, keyHeads·blocks, rows, ·] of keys. */
export interface Blocks {
  readonly count: Dim;
  readonly rows: number;
  /** Query heads for each key head. */
  readonly group: number;
  /** [batch, heads, length, ·], padded to whole blocks, to blocks. */
  split(x: Tensor): Tensor;
  /** Blocks of queries to tokens [batch, length, heads, ·], without the padding. */
  join(x: Tensor): Tensor;
}

export function blocksOf({ query, key }: AttentionInputs, window: number): Blocks {
  const [batch, length, heads] = query.shape as [Dim, Dim, Dim];
  const rows = typeof length === 'number' ? Math.min(length, window) : window;
  const count = ceilDivide(length, rows);
  const group = groupOf(query, key);
  const keyHeads = key.staticDim(2);
  return {
    ...{ count, rows, group },
    split(x) {
      const [own, size] = [x.staticDim(1) / keyHeads, x.dim(-1)];
      const blocks = reshape(x, [batch, keyHeads, own, count, rows, size]);
      const together = own === 1 ? blocks : transpose(blocks, [0, 1, 3, 2, 4, 5]);
      return reshape(together, [batch, multiplyDims(keyHeads, count), own * rows, size]);
    },
    join(x) {
      const own = x.staticDim(2) / rows;
      const blocks = reshape(x, [batch, keyHeads, count, own, rows, x.dim(-1)]);
      const apart = own === 1 ? blocks : transpose(blocks, [0, 1, 3, 2, 4, 5]);
      const byHead = reshape(apart, [batch, heads, multiplyDims(count, rows), x.dim(-1)]);
      return slice(swapHeads(byHead), 1, 0, length);
    },
  };
}

/** Tokens that are padded to whole blocks, of which those behind the last one are not real: [batch, length, heads, ·]. */
export interface PaddedTokens {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** 1 where a key may be attended to, [batch, length, 1, 1]. */
  readonly isReal: Tensor;
  readonly queryPosition?: Tensor | undefined;
  readonly keyPosition?: Tensor | undefined;
}

export function paddedTokens(inputs: AttentionInputs, map: FeatureMap, rows: number): PaddedTokens {
  const padded = (x: Tensor) => padLength(x, rows);
  const position = positionsOf('hybridAttention', inputs, map, padded);
  return {
    ...{ query: padded(inputs.query), key: padded(inputs.key), value: padded(inputs.value) },
    ...{ isReal: padded(realOf(inputs)), queryPosition: position.query, keyPosition: position.key },
  };
}

/**
 * [batch, heads, length, ·] → [batch, heads·blocks, 3·rows, ·]: each block between the two beside it. Beside the first and the last
 * block stands that block once more, which has to be hidden (`realNeighbours`) and gets no gradient.
 */
export function withNeighbours(x: Tensor, { count, rows }: Blocks): Tensor {
  const [batch, heads, , size] = x.shape as [Dim, Dim, Dim, Dim];
  const wide = multiplyDims(size, rows);
  const inBlocks = reshape(x, [batch, heads, count, wide]);
  const places = add(reshape(range(count), [count, 1]), constant('int32', [3], [-1, 0, 1]));
  const within = maximum(minimum(places, subtract(sizeOf(count, 'int32'), 1)), 0);
  const indices = broadcastTo(reshape(within, [multiplyDims(count, 3)]), [batch, heads, multiplyDims(count, 3)]);
  const taken = reshape(takeOfEach(inBlocks, indices), [batch, heads, count, 3, wide]);
  // Block b got those of the places b − 1, b and b + 1.
  const [found] = withGradient([inBlocks], [taken], ([g]) => {
    const given = [0, 1, 2].map((at) => reshape(slice(g!, 3, at, at + 1), [batch, heads, count, wide]));
    const total = given.map((own, at) => pad(own, 2, at, 2 - at)).reduce((left, right) => add(left, right));
    return [slice(total, 2, 1, addDims(count, 1))];
  });
  return reshape(found!, [batch, multiplyDims(heads, count), 3 * rows, size]);
}

/** Where the keys of `withNeighbours` are real, of [batch, length, 1, 1]: [batch, 1, blocks, 3·rows], 0 beyond the ends. */
export function realNeighbours(isReal: Tensor, { count, rows }: Blocks): Tensor {
  const batch = isReal.dim(0);
  const padded = pad(reshape(isReal, [batch, 1, count, rows]), 2, 1, 1);
  const beside = [0, 1, 2].map((at) => slice(padded, 2, at, addDims(count, at)));
  return concatenate(beside, -1);
}

/** The sums over all blocks that are at least two away: [batch, heads, blocks, ·]. */
export function sumOfFar(x: Tensor, count: Dim): Tensor {
  const padded = pad(x, 2, 1, 1);
  const before = cumulativeSum(padded, 2, { exclusive: true });
  const behind = cumulativeSum(padded, 2, { exclusive: true, reverse: true });
  return add(slice(before, 2, 0, count), slice(behind, 2, 2));
}

/** What holds for all rows of a block, [batch, 1, blocks, 1], for tokens: [batch, length, 1, 1]. */
export function ofTokens(isSome: Tensor<'bool'>, length: Dim, { count, rows }: Blocks): Tensor<'bool'> {
  const batch = isSome.dim(0);
  const spread = broadcastTo(reshape(cast(isSome, 'float32'), [batch, count, 1]), [batch, count, rows]);
  const joined = reshape(spread, [batch, multiplyDims(count, rows)]);
  return less(0, reshape(slice(joined, 1, 0, length), [batch, length, 1, 1]));
}

/** A mask of blocks [batch, 1, blocks, ·] for all key heads, [batch, keyHeads·blocks, 1, ·], as what is added to logarithms or not. */
export function ofHeads(x: Tensor, keyHeads: number): Tensor {
  const [batch, , count, size] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(broadcastTo(x, [batch, keyHeads, count, size]), [batch, multiplyDims(keyHeads, count), 1, size]);
}

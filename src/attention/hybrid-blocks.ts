/**
 * The hybrid that is not causal, in blocks of `window` tokens: a query sees the keys of its own block and of the two beside it exactly,
 * and those of all other blocks through features. So all keys that are fewer than `window` places away are exact, and some that are
 * farther, up to twice as far: no product has to be taken for pairs of a block that count in part.
 *
 *   S_c      the sums of [V, 1]ᵀ K over the keys of block c, K their features
 *   F_b      Σ S_c over the blocks c that are at least two away from b: those before it, and those behind it
 *   far      [num, den] = Q F_bᵀ of the queries of block b, Q their features
 *
 * F_b is two running sums and no difference, which might cancel to nothing. The largest scale of all keys is taken out of the weights, so
 * that a row whose far keys all lie far below another key may lose them (underflow.ts says how this is known). Then the far keys
 * are read by causal attention, forwards and backwards, which loses nothing: so that these arrive two blocks late, each block of
 * queries stands behind the keys of the block that ended one block before it. Blocks that are too short for sums of their own are always read so.
 */
import { addDims, ceilDivide, type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  conditional,
  constant,
  cumulativeSum,
  less,
  matmul,
  max,
  multiply,
  pad,
  pullback,
  range,
  reshape,
  reverse,
  scalar,
  slice,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  transpose,
  where,
  withGradient,
} from '../graph/index.js';
import { causalTerms } from './causal.js';
import { guarded, massOf } from './guard.js';
import { groupOf, repeatHeads } from './heads.js';
import { type AttentionInputs, padLength, positionsOf, swapHeads } from './layout.js';
import { keyRows, queryRows, queryScale } from './rows.js';
import { headroomOf } from './state.js';
import { weightsOf } from './sums.js';
import { takeOfEach } from './take.js';
import { type AttentionTerms, addTerms } from './terms.js';
import { underflows } from './underflow.js';
import { seesSome, softmaxMean } from './visible.js';
import { realOf } from './window-state.js';

/** Blocks of fewer tokens have sums that are larger than the tokens themselves. */
const shortest = 16;

/** What is computed in blocks: [batch, keyHeads·blocks, group·rows, ·] of queries, [batch, keyHeads·blocks, rows, ·] of keys. */
interface Blocks {
  readonly count: Dim;
  readonly rows: number;
  /** Query heads for each key head. */
  readonly group: number;
  /** [batch, heads, length, ·], padded to whole blocks, to blocks. */
  split(x: Tensor): Tensor;
  /** Blocks of queries to tokens [batch, length, heads, ·], without the padding. */
  join(x: Tensor): Tensor;
}

function blocksOf({ query, key }: AttentionInputs, window: number): Blocks {
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
interface PaddedTokens {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** 1 where a key may be attended to, [batch, length, 1, 1]. */
  readonly isReal: Tensor;
  readonly queryPosition?: Tensor | undefined;
  readonly keyPosition?: Tensor | undefined;
}

function paddedTokens(inputs: AttentionInputs, map: FeatureMap, rows: number): PaddedTokens {
  const padded = (x: Tensor) => padLength(x, rows);
  const position = positionsOf('hybridAttention', inputs, map, padded);
  return {
    ...{ query: padded(inputs.query), key: padded(inputs.key), value: padded(inputs.value) },
    ...{ isReal: padded(realOf(inputs)), queryPosition: position.query, keyPosition: position.key },
  };
}

/** [batch, heads, length, ·] → [batch, heads·blocks, 3·rows, ·]: each block between the two beside it, zeros beyond the ends. */
function withNeighbours(x: Tensor, { count, rows }: Blocks): Tensor {
  const [batch, heads, , size] = x.shape as [Dim, Dim, Dim, Dim];
  const wide = multiplyDims(size, rows);
  const beside = [0, 1, 2];
  const padded = reshape(pad(x, 2, rows, rows), [batch, heads, addDims(count, 2), wide]);
  const places = add(reshape(range(count), [count, 1]), constant('int32', [3], beside));
  const indices = broadcastTo(reshape(places, [multiplyDims(count, 3)]), [batch, heads, multiplyDims(count, 3)]);
  const taken = reshape(takeOfEach(padded, indices), [batch, heads, count, 3, wide]);
  // Block b got those of the places b, b + 1 and b + 2.
  const [found] = withGradient([padded], [taken], ([g]) => [
    beside
      .map((at) => reshape(slice(g!, 3, at, at + 1), [batch, heads, count, wide]))
      .map((own, at) => pad(own, 2, at, 2 - at))
      .reduce((left, right) => add(left, right)),
  ]);
  return reshape(found!, [batch, multiplyDims(heads, count), 3 * rows, size]);
}

/** The sums over all blocks that are at least two away: [batch, heads, blocks, ·]. */
function sumOfFar(x: Tensor, count: Dim): Tensor {
  const padded = pad(x, 2, 1, 1);
  const before = cumulativeSum(padded, 2, { exclusive: true });
  const behind = cumulativeSum(padded, 2, { exclusive: true, reverse: true });
  return add(slice(before, 2, 0, count), slice(behind, 2, 2));
}

/** What holds for all rows of a block, [batch, 1, blocks, 1], for tokens: [batch, length, 1, 1]. */
function ofTokens(isSome: Tensor<'bool'>, length: Dim, { count, rows }: Blocks): Tensor<'bool'> {
  const batch = isSome.dim(0);
  const spread = broadcastTo(reshape(cast(isSome, 'float32'), [batch, count, 1]), [batch, count, rows]);
  const joined = reshape(spread, [batch, multiplyDims(count, rows)]);
  return less(0, reshape(slice(joined, 1, 0, length), [batch, length, 1, 1]));
}

/** A mask of blocks [batch, 1, blocks, ·] for all key heads, [batch, keyHeads·blocks, 1, ·], as what is added to logarithms or not. */
function ofHeads(x: Tensor, keyHeads: number): Tensor {
  const [batch, , count, size] = x.shape as [Dim, Dim, Dim, Dim];
  return reshape(broadcastTo(x, [batch, keyHeads, count, size]), [batch, multiplyDims(keyHeads, count), 1, size]);
}

/** The sums of each query over the keys of its own block and of those beside it. */
function nearTerms(tokens: PaddedTokens, length: Dim, blocks: Blocks): AttentionTerms {
  const { count, rows } = blocks;
  const batch = tokens.query.dim(0);
  const keyHeads = tokens.key.staticDim(2);
  const query = blocks.split(swapHeads(tokens.query));
  const [key, value] = [tokens.key, tokens.value].map((x) => withNeighbours(swapHeads(x), blocks)) as [Tensor, Tensor];
  const isReal = reshape(withNeighbours(swapHeads(tokens.isReal), blocks), [batch, 1, count, 3 * rows]);
  const visible = less(0, isReal);
  const seen = seesSome(visible); // [batch, 1, blocks, 1]
  // Hidden keys are zeros, so that their scores are numbers, and −∞ beside them leaves nothing.
  const hidden = where(visible, scalar(0), where(seen, scalar(Number.NEGATIVE_INFINITY), scalar(0)));
  const scores = matmul(query, key, { transposeRight: true, scale: key.staticDim(-1) ** -0.5 });
  const { mean, logScale } = softmaxMean(add(scores, ofHeads(hidden, keyHeads)), value, 1);
  return {
    numerator: blocks.join(mean),
    denominator: undefined,
    logScale: blocks.join(logScale),
    visible: ofTokens(seen, length, blocks),
  };
}

interface FarSums {
  /** Numerators, denominators and scales [batch, length, heads, ·]. */
  readonly rows: readonly Tensor[];
  readonly mass: Tensor | undefined;
  /** Whether float32 lost some of them; absent for features without logarithms, which are not known to. */
  readonly isLossy: Tensor<'bool'> | undefined;
}

/** The sums of each query over the keys of other blocks, by running sums over these. */
function farSums(tokens: PaddedTokens, length: Dim, isSome: Tensor<'bool'>, map: FeatureMap, blocks: Blocks): FarSums {
  const { count } = blocks;
  const mask = less(0, swapHeads(tokens.isReal));
  const [queries, keys] = [queryRows(map, tokens, 1), keyRows(map, { ...tokens, mask })];
  const isLogarithmic = queries.features.logValues !== undefined && keys.features.logFeatures !== undefined;
  const headroom = headroomOf(isLogarithmic);
  const [batch, keyHeads] = keys.logScale.shape as [Dim, Dim];
  const scale = stopGradient(max(keys.logScale, 2, true)); // [batch, keyHeads, 1, 1]
  const weight = weightsOf(keys.logScale, scale, headroom);
  const weighted = blocks.split(concatenate([multiply(keys.value, weight), weight], -1));
  const own = matmul(weighted, blocks.split(keys.features.values), { transposeLeft: true }); // S
  const [, , columns, features] = own.shape as [Dim, Dim, number, number];
  const ofFar = sumOfFar(reshape(own, [batch, keyHeads, count, columns * features]), count);
  const far = reshape(ofFar, own.shape); // F
  const found = matmul(blocks.split(queries.values), far, { transposeRight: true });
  const weights = slice(far, 2, columns - 1); // [batch, keyHeads·blocks, 1, features]
  const denominator = slice(found, -1, columns - 1);
  const seen = sum(weights, -1, true); // the features of a key add up to 1
  const visible = less(0, ofHeads(cast(isSome, 'float32'), keys.logScale.staticDim(1)));
  const logScale = swapHeads(
    add(queryScale(queries, 1), repeatHeads(subtract(scale, Math.log(headroom)), blocks.group)),
  );
  return {
    rows: [...[slice(found, -1, 0, columns - 1), denominator].map(blocks.join), slice(logScale, 1, 0, length)],
    mass: map.isSigned ? blocks.join(broadcastTo(massOf(weights), denominator.shape)) : undefined,
    isLossy: isLogarithmic ? underflows({ denominator, seen, visible, sums: far }, map.featureCount) : undefined,
  };
}

/** The same by causal attention, forwards over the blocks and backwards: in each block keys of two blocks before, and then its queries. */
function farTerms(tokens: PaddedTokens, length: Dim, map: FeatureMap, blocks: Blocks, chunk?: number): AttentionTerms {
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

/** The sums over the keys of other blocks, in the faster of the two ways that loses nothing. */
function termsOfFar(
  tokens: PaddedTokens,
  length: Dim,
  features: FeatureMap,
  blocks: Blocks,
  chunk: number | undefined,
): AttentionTerms {
  const { count, rows } = blocks;
  const slowTerms = () => farTerms(tokens, length, features, blocks, chunk);
  if (rows < shortest) return slowTerms();
  const map = guarded(features);
  const perBlock = sum(reshape(tokens.isReal, [tokens.isReal.dim(0), 1, count, rows]), -1, true);
  const isSome = less(0, sumOfFar(perBlock, count));
  const visible = ofTokens(isSome, length, blocks);
  const { rows: fast, mass, isLossy } = farSums(tokens, length, isSome, map, blocks);
  const named = ([numerator, denominator, logScale]: readonly Tensor[]): AttentionTerms => ({
    ...{ numerator: numerator!, denominator: denominator!, logScale: logScale! },
    ...{ mass: mass && stopGradient(mass), visible },
  });
  if (isLossy === undefined) return named(fast);
  const slow = () => {
    const { numerator, denominator, logScale } = slowTerms();
    return [numerator, denominator!, logScale];
  };
  const leaves = [tokens.query, tokens.key, tokens.value, ...(map.learned ?? [])];
  const outputs = conditional(isLossy, slow, () => fast);
  const found = withGradient(leaves, outputs, (gradients) => {
    const through = (results: readonly Tensor[]) => {
      const known = results.flatMap((result, at) => (gradients[at] ? [[result, gradients[at]] as const] : []));
      return pullback(known, leaves).map((own, at) => own ?? broadcastTo(scalar(0), leaves[at]!.shape));
    };
    return conditional(
      isLossy,
      () => through(slow()),
      () => through(fast),
    );
  });
  return named(found as readonly Tensor[]);
}

/** The sums of the near and of the far keys of inputs without hidden tokens. */
export function blockHybridTerms(
  inputs: AttentionInputs,
  map: FeatureMap,
  { window, chunk }: { readonly window: number; readonly chunk?: number | undefined },
): readonly [AttentionTerms, ...AttentionTerms[]] {
  const length = inputs.query.dim(1);
  const blocks = blocksOf(inputs, window);
  const tokens = paddedTokens(inputs, map, blocks.rows);
  const near = nearTerms(tokens, length, blocks);
  if (blocks.count === 1 || blocks.count === 2) return [near]; // no block is far
  return [near, termsOfFar(tokens, length, map, blocks, chunk)];
}

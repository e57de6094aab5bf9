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
import { ceilDivide, type Dim, multiplyDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  concatenate,
  conditional,
  cumulativeSum,
  less,
  matmul,
  max,
  multiply,
  pad,
  pullback,
  reshape,
  reverse,
  scalar,
  slice,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { causalTerms } from './causal.js';
import { guarded, massOf } from './guard.js';
import { gatherHeads, groupOf, splitHeads } from './heads.js';
import { type AttentionInputs, positionsOf, splitRows, swapHeads } from './layout.js';
import { asQueries, keyRows, queryRows, queryScale } from './rows.js';
import { headroomOf } from './state.js';
import { weightsOf } from './sums.js';
import { type AttentionTerms, addTerms } from './terms.js';
import { underflows } from './underflow.js';
import { meanOf, seesSome } from './visible.js';
import { realOf } from './window-state.js';

/** Blocks of fewer tokens have sums that are larger than the tokens themselves. */
const shortest = 16;

/** Tokens in blocks [batch, blocks, rows, heads, ·], the last one padded with tokens that are not real. */
interface TokenBlocks {
  readonly count: Dim;
  readonly rows: number;
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  /** 1 where a key may be attended to. */
  readonly isReal: Tensor;
  readonly queryPosition?: Tensor | undefined;
  readonly keyPosition?: Tensor | undefined;
  /** Puts rows of blocks together: [batch, length, heads, ·]. */
  join(x: Tensor): Tensor;
}

function blocksOf(inputs: AttentionInputs, map: FeatureMap, window: number): TokenBlocks {
  const length = inputs.query.dim(1);
  const rows = typeof length === 'number' ? Math.min(length, window) : window;
  const count = ceilDivide(length, rows);
  const split = (x: Tensor) => splitRows(x, rows);
  const position = positionsOf('hybridAttention', inputs, map, split);
  return {
    ...{ count, rows, query: split(inputs.query), key: split(inputs.key), value: split(inputs.value) },
    ...{ isReal: split(realOf(inputs)), queryPosition: position.query, keyPosition: position.key },
    join: (x) => {
      const [batch, , , ...rest] = x.shape as [Dim, Dim, Dim, ...Dim[]];
      return slice(reshape(x, [batch, multiplyDims(count, rows), ...rest]), 1, 0, length);
    },
  };
}

/** Each block's place has what the one before it has, and the first one nothing. */
function fromBefore(x: Tensor, count: Dim): Tensor {
  return slice(pad(x, 1, 1, 0), 1, 0, count);
}

/** Each block's place has what the one behind it has, and the last one nothing. */
function fromBehind(x: Tensor): Tensor {
  return slice(pad(x, 1, 0, 1), 1, 1);
}

/** The sums over all blocks that are at least two away: [batch, blocks, ...]. */
function sumOfFar(x: Tensor, count: Dim): Tensor {
  const before = cumulativeSum(x, 1, { exclusive: true });
  const behind = cumulativeSum(x, 1, { exclusive: true, reverse: true });
  return add(fromBefore(before, count), fromBehind(behind));
}

/** [batch, blocks, ...] → [batch·blocks, ...] */
function flat(x: Tensor): Tensor {
  const [batch, count, ...rest] = x.shape as [Dim, Dim, ...Dim[]];
  return reshape(x, [multiplyDims(batch, count), ...rest]);
}

/** [batch·blocks, heads, rows, ·] → [batch, length, heads, ·] */
function toTokens(x: Tensor, { count, query, join }: TokenBlocks): Tensor {
  const [, rows, ...rest] = swapHeads(x).shape as [Dim, Dim, ...Dim[]];
  return join(reshape(swapHeads(x), [query.dim(0), count, rows, ...rest]));
}

/** What holds for all rows of a block, [batch·blocks, 1, 1, 1], for tokens: [batch, length, 1, 1]. */
function ofTokens(isSome: Tensor<'bool'>, blocks: TokenBlocks): Tensor<'bool'> {
  const shape = [isSome.dim(0), 1, blocks.rows, 1];
  return less(0, toTokens(broadcastTo(cast(isSome, 'float32'), shape), blocks));
}

/** The sums of each query over the keys of its own block and of those beside it. */
function nearTerms(blocks: TokenBlocks, group: number): AttentionTerms {
  const { count, rows } = blocks;
  const around = (x: Tensor) => flat(concatenate([fromBefore(x, count), x, fromBehind(x)], 2));
  const [query, key, value] = [flat(blocks.query), around(blocks.key), around(blocks.value)].map(swapHeads) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const isReal = around(blocks.isReal);
  const visible = less(0, reshape(isReal, [isReal.dim(0), 1, 1, isReal.dim(1)]));
  const seen = seesSome(visible);
  const scores = matmul(gatherHeads(query, group), key, { transposeRight: true, scale: key.staticDim(-1) ** -0.5 });
  // Hidden keys are zeros, so that their scores are numbers.
  const hidden = where(visible, scalar(0), where(seen, scalar(Number.NEGATIVE_INFINITY), scalar(0)));
  const shown = add(splitHeads(scores, group, rows), hidden);
  const { numerator, logScale } = meanOf(shown, { value, visible: undefined, seen: undefined, group });
  return {
    numerator: toTokens(swapHeads(numerator), blocks),
    denominator: undefined,
    logScale: toTokens(swapHeads(logScale), blocks),
    visible: ofTokens(seen, blocks),
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
function farSums(blocks: TokenBlocks, map: FeatureMap, group: number, visible: Tensor<'bool'>): FarSums {
  const { count, rows } = blocks;
  const batch = blocks.query.dim(0);
  const turned = (x: Tensor | undefined) => x && flat(x);
  const isReal = flat(blocks.isReal);
  const tokens = {
    ...{ query: flat(blocks.query), key: flat(blocks.key), value: flat(blocks.value) },
    ...{ queryPosition: turned(blocks.queryPosition), keyPosition: turned(blocks.keyPosition) },
    mask: less(0, reshape(isReal, [isReal.dim(0), 1, rows, 1])),
  };
  const [queries, keys] = [queryRows(map, tokens, group), keyRows(map, tokens)];
  const isLogarithmic = queries.features.logValues !== undefined && keys.features.logFeatures !== undefined;
  const headroom = headroomOf(isLogarithmic);
  const heads = keys.logScale.dim(1);
  const byBlock = (x: Tensor) => reshape(x, [batch, count, ...x.shape.slice(1)]);
  const top = stopGradient(max(byBlock(keys.logScale), [1, 3], true)); // [batch, 1, keyHeads, 1, 1]
  const scale = flat(broadcastTo(top, [batch, count, heads, 1, 1]));
  const weight = weightsOf(keys.logScale, scale, headroom);
  const weighted = concatenate([multiply(keys.value, weight), weight], -1);
  const own = byBlock(matmul(weighted, keys.features.values, { transposeLeft: true })); // S
  const far = flat(sumOfFar(own, count)); // F
  const dim = far.staticDim(2) - 1;
  const found = matmul(queries.values, far, { transposeRight: true });
  const weights = slice(far, 2, dim); // [batch·blocks, keyHeads, 1, features]
  const denominator = slice(found, -1, dim);
  const seen = sum(weights, -1, true); // the features of a key add up to 1
  const logScale = add(queryScale(queries, group), subtract(scale, Math.log(headroom)));
  const laidOut = (x: Tensor) => toTokens(asQueries(x, queries, group), blocks);
  return {
    rows: [slice(found, -1, 0, dim), denominator, logScale].map(laidOut),
    mass: map.isSigned ? laidOut(broadcastTo(massOf(weights), denominator.shape)) : undefined,
    isLossy: isLogarithmic ? underflows({ denominator, seen, visible, sums: far }, map.featureCount) : undefined,
  };
}

/** The same by causal attention, forwards over the blocks and backwards: in each block keys of two blocks before, and then its queries. */
function farTerms(blocks: TokenBlocks, map: FeatureMap, chunk: number | undefined): AttentionTerms {
  const { count, rows, join } = blocks;
  const batch = blocks.query.dim(0);
  const length = multiplyDims(count, 2 * rows);
  const oneWay = (turn: (x: Tensor) => Tensor): AttentionTerms => {
    const late = (x: Tensor) => fromBefore(fromBefore(turn(x), count), count);
    const sequence = (first: Tensor, second: Tensor) => {
      const joined = concatenate([first, second], 2);
      return reshape(joined, [batch, length, ...joined.shape.slice(3)]);
    };
    const nothing = (x: Tensor) => broadcastTo(scalar(0), x.shape);
    const position = (x: Tensor | undefined, place: (x: Tensor) => Tensor) => x && reshape(place(x), [batch, length]);
    const { terms } = causalTerms(
      {
        query: sequence(nothing(blocks.query), turn(blocks.query)),
        key: sequence(late(blocks.key), nothing(blocks.key)),
        value: sequence(late(blocks.value), nothing(blocks.value)),
        keyMask: less(0, reshape(sequence(late(blocks.isReal), nothing(blocks.isReal)), [batch, length])),
        queryPosition: position(blocks.queryPosition, (x) => sequence(nothing(x), turn(x))),
        keyPosition: position(blocks.keyPosition, (x) => sequence(late(x), nothing(x))),
      },
      map,
      { chunk },
    );
    const back = (x: Tensor) => {
      const parts = reshape(x, [batch, count, 2 * rows, ...x.shape.slice(2)]);
      return join(turn(slice(parts, 2, rows)));
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
  blocks: TokenBlocks,
  inputs: AttentionInputs,
  features: FeatureMap,
  chunk: number | undefined,
): AttentionTerms {
  const { count, rows } = blocks;
  if (rows < shortest) return farTerms(blocks, features, chunk);
  const map = guarded(features);
  const perBlock = sum(blocks.isReal, 2, true); // [batch, blocks, 1, 1, 1]
  const isSome = less(0, flat(sumOfFar(perBlock, count)));
  const visible = ofTokens(isSome, blocks);
  const { rows: fast, mass, isLossy } = farSums(blocks, map, groupOf(inputs.query, inputs.key), isSome);
  const named = ([numerator, denominator, logScale]: readonly Tensor[]): AttentionTerms => ({
    ...{ numerator: numerator!, denominator: denominator!, logScale: logScale! },
    ...{ mass: mass && stopGradient(mass), visible },
  });
  if (isLossy === undefined) return named(fast);
  const slow = () => {
    const { numerator, denominator, logScale } = farTerms(blocks, features, chunk);
    return [numerator, denominator!, logScale];
  };
  const leaves = [blocks.query, blocks.key, blocks.value, ...(map.learned ?? [])];
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
  const blocks = blocksOf(inputs, map, window);
  const near = nearTerms(blocks, groupOf(inputs.query, inputs.key));
  if (blocks.count === 1 || blocks.count === 2) return [near]; // no block is far
  return [near, termsOfFar(blocks, inputs, map, chunk)];
}

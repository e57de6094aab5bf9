/**
 * The hybrid that is not causal, in blocks of `window` tokens: a query sees the keys of its own block and of the two beside it exactly,
 * and those of all other blocks through features. So all keys that are fewer than `window` places away are exact, and some that are
 * farther, up to twice as far: no product has to be taken for pairs of a block that count in part.
 *
 *   S_c      the sums VᵀK and 1ᵀK over the keys of block c, K their features (sums.ts)
 *   F_b      Σ S_c over the blocks c that are at least two away from b: those before it, and those behind it
 *   far      num and den, Q F_bᵀ of the queries of block b, Q their features
 *
 * F_b is two running sums and no difference, which might cancel to nothing. The largest scale of all keys is taken out of the weights, so
 * that a row whose far keys all lie far below another key may lose them (underflow.ts says how this is known). Then the far keys
 * are read by causal attention (late-blocks.ts), as those of blocks always are that are too short for sums of their own.
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
  conditional,
  less,
  matmul,
  max,
  pullback,
  reshape,
  scalar,
  slice,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import { guarded, massOf } from './guard.js';
import { repeatHeads } from './heads.js';
import { lateBlockTerms } from './late-blocks.js';
import { type AttentionInputs, swapHeads } from './layout.js';
import { keyRows, queryRows, queryScale } from './rows.js';
import { headroomOf } from './state.js';
import { readSums, sumsOf, weightsOf } from './sums.js';
import type { AttentionTerms } from './terms.js';
import {
  type Blocks,
  blocksOf,
  ofHeads,
  ofTokens,
  type PaddedTokens,
  paddedTokens,
  realNeighbours,
  sumOfFar,
  withNeighbours,
} from './token-blocks.js';
import { underflows } from './underflow.js';
import { seesSome, softmaxMean } from './visible.js';

/** Blocks of fewer tokens have sums that are larger than the tokens themselves. */
const shortest = 16;

/** The sums of each query over the keys of its own block and of those beside it. */
function nearTerms(tokens: PaddedTokens, length: Dim, blocks: Blocks): AttentionTerms {
  const keyHeads = tokens.key.staticDim(2);
  const query = blocks.split(swapHeads(tokens.query));
  const [key, value] = [tokens.key, tokens.value].map((x) => withNeighbours(swapHeads(x), blocks)) as [Tensor, Tensor];
  const visible = less(0, realNeighbours(tokens.isReal, blocks));
  const seen = seesSome(visible); // [batch, 1, blocks, 1]
  // The scores of hidden keys are numbers, and −∞ beside them leaves nothing.
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
  /** Numerators, denominators and scales [batch, length, heads, ·], written where they are asked for. */
  rows(): readonly Tensor[];
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
  const inBlocks = { features: { values: blocks.split(keys.features.values) }, value: blocks.split(keys.value) };
  const own = sumsOf(inBlocks, blocks.split(weight)); // S
  const ofFar = (x: Tensor) => {
    const size = x.staticDim(2) * x.staticDim(3);
    return reshape(sumOfFar(reshape(x, [batch, keyHeads, count, size]), count), x.shape);
  };
  const far = { values: ofFar(own.values), weights: ofFar(own.weights) }; // F
  const { numerator, denominator } = readSums(blocks.split(queries.values), far);
  const seen = sum(far.weights, -1, true); // the features of a key add up to 1
  const visible = less(0, ofHeads(cast(isSome, 'float32'), keys.logScale.staticDim(1)));
  const logScale = swapHeads(
    add(queryScale(queries, 1), repeatHeads(subtract(scale, Math.log(headroom)), blocks.group)),
  );
  return {
    rows: () => [blocks.join(numerator), blocks.join(denominator), slice(logScale, 1, 0, length)],
    mass: map.isSigned ? blocks.join(broadcastTo(massOf(far.weights), denominator.shape)) : undefined,
    isLossy: isLogarithmic ? underflows({ denominator, seen, visible, sums: far.values }, map.featureCount) : undefined,
  };
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
  const slowTerms = () => lateBlockTerms(tokens, length, features, blocks, chunk);
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
  if (isLossy === undefined) return named(fast());
  const slow = () => {
    const { numerator, denominator, logScale } = slowTerms();
    return [numerator, denominator!, logScale];
  };
  const leaves = [tokens.query, tokens.key, tokens.value, ...(map.learned ?? [])];
  const outputs = conditional(isLossy, slow, fast);
  const found = withGradient(leaves, outputs, (gradients) => {
    const through = (results: readonly Tensor[]) => {
      const known = results.flatMap((result, at) => (gradients[at] ? [[result, gradients[at]] as const] : []));
      return pullback(known, leaves).map((own, at) => own ?? broadcastTo(scalar(0), leaves[at]!.shape));
    };
    return conditional(
      isLossy,
      () => through(slow()),
      () => through(fast()),
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

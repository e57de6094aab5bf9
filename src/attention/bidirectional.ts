/**
 * Bidirectional (and cross) FAVOR+ (Choromanski et al. 2021, eq. 4): S = ṼᵀK, [num, den] = Q Sᵀ, with Ṽ = [V, 1].
 *
 * A loop over blocks of keys adds up S, and one over blocks of queries reads it: the features of a block stay in cache
 * and are never written out. With G the gradient of [num, den], one loop over the queries gives dQ = G S and Z = GᵀQ, and
 * one over the keys dK = Ṽ Z and dṼ = K Zᵀ; both compute the features again.
 *
 * The largest scale of the keys is taken out of the weights; it cancels exactly and needs no gradient. Where float32 loses
 * weights that count (loss.ts), outputs and gradients come from a branch in log space (bidirectional-log-space.ts).
 */
import type { Dtype } from '../base/array.js';
import { ceilDivide, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  type AnyTensor,
  add,
  broadcastTo,
  cast,
  concatenate,
  conditional,
  exp,
  less,
  matmul,
  max,
  maximum,
  multiply,
  pullback,
  reshape,
  scalar,
  scan,
  scope,
  subtract,
  sum,
  type Tensor,
  transpose,
  where,
  withGradient,
} from '../graph/index.js';
import {
  type LogSpaceInputs,
  logSpaceBidirectional,
  logSpaceBidirectionalGradient,
} from './bidirectional-log-space.js';
import { guarded, massOf } from './guard.js';
import {
  type AttentionInputs,
  checkInputs,
  chunkRows,
  expectPositions,
  fromSequence,
  joinRows,
  positionsOf,
  swapHeads,
  toSequence,
  withoutHidden,
} from './layout.js';
import { isLossy } from './loss.js';
import { normalize, weightedGradient } from './normalize.js';
import {
  type KeyTokens,
  keyResults,
  keyRows,
  orNothing,
  type QueryTokens,
  queryResults,
  queryRows,
  turned,
} from './rows.js';
import { emptyLogScale, headroomOf, maskedLogScale } from './state.js';
import { addSums, joinSums, readSums, scaleSums, splitSums, sumsOf, weightsOf } from './sums.js';

/** Rows of a block: the features of 8 heads of 256 are then 2 MB, and shorter blocks have a dearer product. */
const block = 256;

/** What a step of the gradient reads of a block of queries, beside its tokens: 1/den, outputs, their gradients, `isOwn`. */
type GradientRows = readonly [inverse: Tensor, output: Tensor, gradient: Tensor, isOwn?: Tensor<'int32'>];

/** Cuts [batch, length, ...] into blocks [blocks, batch, rows, ...], and puts them together again. */
interface Blocks {
  readonly count: Dim;
  readonly rows: Dim;
  readonly isPadded: boolean;
  split<D extends Dtype>(x: Tensor<D>): Tensor<D>;
  join<D extends Dtype>(x: Tensor<D>): Tensor<D>;
}

function blocksOf(length: Dim, isWhole: boolean): Blocks {
  if (isWhole || (typeof length === 'number' && length <= block)) {
    return {
      count: 1,
      rows: length,
      isPadded: false,
      split: (x) => reshape(x, [1, ...x.shape]),
      join: (x) => reshape(x, x.shape.slice(1)),
    };
  }
  return {
    count: ceilDivide(length, block),
    rows: block,
    isPadded: subtractDims(roundUp(length, block), length) !== 0,
    split: (x) => toSequence(x, block),
    join: (x) => fromSequence(x, length),
  };
}

function named<T>(names: readonly string[], items: readonly AnyTensor[]): T {
  return Object.fromEntries(names.map((name, at) => [name, items[at]])) as T;
}

/** A mask [batch, length] as [blocks, batch, 1, rows, 1]. */
function maskOf({ count, rows, split }: Blocks, mask: Tensor<'bool'>): Tensor<'bool'> {
  // Padding is written in int32, which every engine pads, and read back as a mask.
  return less(0, reshape(split(cast(mask, 'int32')), [count, mask.dim(0), 1, rows, 1]));
}

/**
 * Attention of every query to every key through a feature map, in time and memory linear in both lengths:
 * [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit; CONFIG for the positions of one side alone.
 */
export function bidirectionalAttention(given: AttentionInputs, features: FeatureMap): Tensor {
  checkInputs('bidirectionalAttention', given, false);
  const inputs = withoutHidden(given);
  expectPositions('bidirectionalAttention', inputs, features);
  const { keyMask } = inputs;
  const [batch, keys, heads] = inputs.key.shape as [Dim, Dim, Dim, Dim];
  const queries = inputs.query.dim(1);
  const valueDim = inputs.value.staticDim(-1);
  const map = guarded(features);
  const position = positionsOf('bidirectionalAttention', inputs, map, (x) => x);
  const isWhole = map.isSequenceWide === true;
  const [byQuery, byKey] = [blocksOf(queries, isWhole), blocksOf(keys, isWhole)];
  const real = keyMask ?? (byKey.isPadded ? broadcastTo(cast(scalar(1), 'bool'), [batch, keys]) : undefined);
  const queryTokens = {
    query: byQuery.split(inputs.query),
    ...(position.query === undefined ? {} : { queryPosition: byQuery.split(position.query) }),
  };
  const keyTokens = {
    key: byKey.split(inputs.key),
    value: byKey.split(inputs.value),
    ...(position.key === undefined ? {} : { keyPosition: byKey.split(position.key) }),
    ...(real === undefined ? {} : { mask: maskOf(byKey, real) }),
  };
  const readQuery = (x: Tensor) => map.query(x, turned(position.query)).logValues;
  const readKey = (x: Tensor) => map.key(x, turned(position.key)).logFeatures;
  const isLogarithmic =
    readQuery(swapHeads(inputs.query)) !== undefined && readKey(swapHeads(inputs.key)) !== undefined;
  const headroom = headroomOf(isLogarithmic);
  // A sequence without any key gives zeros.
  const visible =
    keyMask === undefined ? undefined : reshape(less(0, max(cast(keyMask, 'int32'), 1)), [batch, 1, 1, 1]);

  const keyNames = Object.keys(keyTokens);
  const nothing = (...shape: readonly Dim[]) => broadcastTo(scalar(0), shape);
  const count = map.featureCount;
  const ofAllKeys = scan(
    [
      nothing(batch, heads, valueDim, count),
      nothing(batch, heads, 1, count),
      broadcastTo(scalar(emptyLogScale), [batch, heads, 1, 1]),
    ],
    Object.values(keyTokens),
    ([values, weights, top], items) => {
      const rows = keyRows(map, named<KeyTokens>(keyNames, items));
      const next = maximum(top!, max(rows.logScale, 2, true));
      const before = scaleSums({ values: values!, weights: weights! }, exp(subtract(top!, next)));
      const total = addSums(before, sumsOf(rows, weightsOf(rows.logScale, next, headroom)));
      return { states: [total.values, total.weights, next], items: [rows.logScale] };
    },
  );
  const [values, weights, scale] = ofAllKeys.states as [Tensor, Tensor, Tensor];
  const sums = { values, weights }; // S
  const logScales = ofAllKeys.items[0]!; // [blocks, batch, heads, rows, 1]

  const queryNames = Object.keys(queryTokens);
  const read = scan([], Object.values(queryTokens), (_, items) => {
    const { features: own } = queryRows(map, named<QueryTokens>(queryNames, items));
    const { numerator, denominator } = readSums(own.values, sums);
    const mass = map.isSigned ? massOf(weights) : undefined;
    const { output, inverse, isOwn } = normalize(numerator, denominator, { visible, mass });
    return { states: [], items: [output, inverse, ...(isOwn === undefined ? [] : [cast(isOwn, 'int32')])] };
  }).items;
  const [output, inverse] = read as [Tensor, Tensor];
  const owned = map.isSigned ? [read[2]!] : [];
  const learned = map.learned ?? [];

  /** The gradients of queries, keys, values and learned tensors. */
  const gradients = (g: Tensor): readonly Tensor[] => {
    const empty = learned.map((like) => broadcastTo(scalar(0), like.shape));
    const joined = joinSums(sums);
    const ofQueries = scan(
      [nothing(...joined.shape), ...empty],
      [...Object.values(queryTokens), inverse, output, byQuery.split(g), ...owned],
      ([total, ...totals], items) => {
        const rest = items.slice(queryNames.length) as readonly AnyTensor[] as GradientRows;
        const { rows, features: own } = queryRows(map, named<QueryTokens>(queryNames, items));
        const gWeighted = weightedGradient({
          gradient: swapHeads(rest[2]),
          output: rest[1],
          inverse: rest[0],
          isOwn: rest[3] === undefined ? undefined : cast(rest[3], 'bool'),
        }); // G
        const gValues = matmul(gWeighted, joined);
        const [ofRows, ...more] = pullback(queryResults(own, gValues, isLogarithmic), [rows, ...learned]);
        return {
          states: [
            add(total!, matmul(gWeighted, own.values, { transposeLeft: true })),
            ...totals.map((before, at) => add(before, orNothing(more[at], learned[at]!))),
          ],
          items: [swapHeads(orNothing(ofRows, rows))],
        };
      },
    );
    const gJoined = ofQueries.states[0]!; // Z
    const gSums = splitSums(gJoined);
    const ofKeys = scan(ofQueries.states.slice(1), [...Object.values(keyTokens), logScales], (totals, items) => {
      const rows = keyRows(map, named<KeyTokens>(keyNames, items));
      const weight = weightsOf(items.at(-1) as Tensor, scale, headroom);
      const weighted = multiply(rows.value, weight);
      const gFeatures = matmul(concatenate([weighted, weight], -1), gJoined);
      const { numerator: gValue, denominator: gWeight } = readSums(rows.features.values, gSums);
      const gScale = add(sum(multiply(weighted, gValue), -1, true), multiply(weight, gWeight));
      const results = keyResults(rows.features, gFeatures, gScale, isLogarithmic);
      const [ofRows, ...more] = pullback(results, [rows.rows, ...learned]);
      return {
        states: totals.map((before, at) => add(before, orNothing(more[at], learned[at]!))),
        items: [swapHeads(orNothing(ofRows, rows.rows)), swapHeads(multiply(gValue, weight))],
      };
    });
    return [...ofQueries.items, ...ofKeys.items, ...ofKeys.states];
  };

  const leaves = [inputs.query, inputs.key, inputs.value, ...learned];
  const join = ([gQuery, gKey, gValue, ...rest]: readonly Tensor[]) => [
    byQuery.join(gQuery!),
    byKey.join(gKey!),
    byKey.join(gValue!),
    ...rest,
  ];
  if (!isLogarithmic) {
    return withGradient(leaves, [joinRows(chunkRows(output), queries)], ([g]) => join(gradients(g!)))[0]!;
  }

  // Written inside of the branches that call it, the features among it.
  const logSpace = (query: Tensor, key: Tensor): LogSpaceInputs => {
    const logKey = readKey(key)!;
    const mask = keyMask === undefined ? undefined : reshape(keyMask, [batch, 1, keys, 1]);
    return {
      query: readQuery(query)!,
      key: mask === undefined ? logKey : where(mask, logKey, scalar(maskedLogScale)),
      value: swapHeads(inputs.value),
      visible,
    };
  };
  // The features of a key add up to 1, so the sums of the weights over all features are the weight of all keys.
  const seen = sum(weights, -1, true);
  const lossy = isLossy({ inverse, seen, visible, sums: values }, count);
  const [result] = conditional(
    lossy,
    () =>
      scope('logSpace', () => {
        const [own] = logSpaceBidirectional(logSpace(swapHeads(inputs.query), swapHeads(inputs.key)));
        return [transpose(byQuery.split(swapHeads(own!)), [1, 0, 2, 3, 4])];
      }),
    () => [chunkRows(output)],
  ) as [Tensor];
  return withGradient(leaves, [joinRows(result, queries)], ([g]) =>
    join(
      conditional(
        lossy,
        () =>
          scope('logSpace', () => {
            const [query, key] = [swapHeads(inputs.query), swapHeads(inputs.key)];
            const given = logSpace(query, key);
            const [own, ownInverse] = logSpaceBidirectional(given) as [Tensor, Tensor];
            const gWeighted = weightedGradient({ gradient: swapHeads(g!), output: own, inverse: ownInverse });
            const [gQuery, gKey, gValue] = logSpaceBidirectionalGradient(given, gWeighted) as [Tensor, Tensor, Tensor];
            const [ofQuery, ofKey, ...more] = pullback(
              [
                [given.query, gQuery],
                [given.key, gKey],
              ],
              [query, key, ...learned],
            );
            return [
              byQuery.split(swapHeads(orNothing(ofQuery, query))),
              byKey.split(swapHeads(orNothing(ofKey, key))),
              byKey.split(swapHeads(gValue)),
              ...learned.map((like, at) => orNothing(more[at], like)),
            ];
          }),
        () => gradients(g!),
      ),
    ),
  )[0]!;
}

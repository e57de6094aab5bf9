/**
 * Bidirectional (and cross) FAVOR+ (Choromanski et al. 2021, eq. 4): S = KᵀṼ, [num, den] = Q S, with Ṽ = [V, 1].
 *
 * A loop over blocks of keys adds up S, and one over blocks of queries reads it: the features of a block stay in cache
 * and are never written out. With G the gradient of [num, den], one loop over the queries gives dQ = G Sᵀ and Z = QᵀG, and
 * one over the keys dK = Ṽ Zᵀ and dṼ = K Z; both compute the features again.
 *
 * The largest scale of the keys is taken out of the weights; it cancels exactly and needs no gradient. Where float32 loses
 * weights that count (loss.ts), outputs and gradients come from a branch in log space (bidirectional-log-space.ts).
 */
import { ceilDivide, type Dim, roundUp, subtractDims } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  cast,
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
  slice,
  subtract,
  sum,
  type Tensor,
  where,
  withGradient,
} from '../graph/index.js';
import {
  type LogSpaceInputs,
  logSpaceBidirectional,
  logSpaceBidirectionalGradient,
} from './bidirectional-log-space.js';
import { guarded, lastEntry } from './guard.js';
import { type AttentionInputs, checkInputs, fromSequence, positionsOf, swapHeads, toSequence } from './layout.js';
import { isLossy } from './loss.js';
import { normalizeOutput, weightedGradient } from './normalize.js';
import {
  extend,
  type KeyTokens,
  keyResults,
  keyRows,
  orNothing,
  type QueryTokens,
  queryResults,
  queryRows,
} from './rows.js';
import { emptyLogScale, maskedLogScale } from './state.js';

/** Rows of a block: the features of 8 heads of 256 are then 2 MB, and shorter blocks have a dearer product. */
const block = 256;

/** Cuts [batch, length, ...] into blocks [blocks, batch, rows, ...], and puts them together again. */
interface Blocks {
  readonly count: Dim;
  readonly rows: Dim;
  readonly isPadded: boolean;
  split(x: Tensor): Tensor;
  join(x: Tensor): Tensor;
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

function named<T>(names: readonly string[], items: readonly Tensor[]): T {
  return Object.fromEntries(names.map((name, at) => [name, items[at]])) as T;
}

/** A mask [batch, length] as [blocks, batch, 1, rows, 1]. */
function maskOf({ count, rows, split }: Blocks, mask: Tensor): Tensor {
  // Padding is written in int32, which every engine pads, and read back as a mask.
  return less(0, reshape(split(cast(mask, 'int32')), [count, mask.dim(0), 1, rows, 1]));
}

/**
 * Attention of every query to every key through a feature map, in time and memory linear in both lengths:
 * [batch, queries, heads, valueDim].
 *
 * @throws SHAPE for inputs that do not fit.
 */
export function bidirectionalAttention(inputs: AttentionInputs, features: FeatureMap): Tensor {
  checkInputs('bidirectionalAttention', inputs, false);
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
  const turned = (x: Tensor | undefined) => (x === undefined ? undefined : swapHeads(x));
  const readQuery = (x: Tensor) => map.query(x, turned(position.query)).logValues;
  const readKey = (x: Tensor) => map.key(x, turned(position.key)).logFeatures;
  const isLogarithmic =
    readQuery(swapHeads(inputs.query)) !== undefined && readKey(swapHeads(inputs.key)) !== undefined;
  // A sequence without any key gives zeros.
  const visible =
    keyMask === undefined ? undefined : reshape(less(0, max(cast(keyMask, 'int32'), 1)), [batch, 1, 1, 1]);

  const keyNames = Object.keys(keyTokens);
  const nothing = (...shape: readonly Dim[]) => broadcastTo(scalar(0), shape);
  const sumShape = [batch, heads, map.featureCount, valueDim + 1] as const;
  const [sums, scale, seen] = scan(
    [nothing(...sumShape), broadcastTo(scalar(emptyLogScale), [batch, heads, 1, 1]), nothing(batch, heads, 1, 1)],
    Object.values(keyTokens),
    ([total, top, weightSoFar], items) => {
      const rows = keyRows(map, named<KeyTokens>(keyNames, items));
      const next = maximum(top!, max(rows.logScale, 2, true));
      const decay = exp(subtract(top!, next));
      const { extended, weight } = extend(rows, next);
      const added = matmul(rows.features.values, extended, { transposeLeft: true });
      const weights = add(multiply(weightSoFar!, decay), sum(weight, 2, true));
      return { states: [add(multiply(total!, decay), added), next, weights], items: [] };
    },
  ).states as [Tensor, Tensor, Tensor]; // S [batch, heads, features, dim + 1], and [batch, heads, 1, 1]

  const queryNames = Object.keys(queryTokens);
  const read = scan([], Object.values(queryTokens), (_, items) => {
    const { values } = queryRows(map, named<QueryTokens>(queryNames, items)).features;
    const weighted = matmul(values, sums); // [batch, heads, rows, dim + 1]
    const mass = map.isSigned ? lastEntry(sums) : undefined;
    const { output, inverse, isOwn } = normalizeOutput(weighted, { visible, mass });
    return { states: [], items: [swapHeads(output), inverse, ...(isOwn === undefined ? [] : [cast(isOwn, 'int32')])] };
  }).items;
  const [output, inverse] = read as [Tensor, Tensor];
  const owned = map.isSigned ? [read[2]!] : [];
  const learned = map.learned ?? [];

  /** The gradients of queries, keys, values and learned tensors. */
  const gradients = (g: Tensor): readonly Tensor[] => {
    const empty = learned.map((like) => broadcastTo(scalar(0), like.shape));
    const ofQueries = scan(
      [nothing(...sumShape), ...empty],
      [...Object.values(queryTokens), inverse, output, byQuery.split(g), ...owned],
      ([total, ...totals], items) => {
        const rest = items.slice(queryNames.length);
        const { rows, features: own } = queryRows(map, named<QueryTokens>(queryNames, items));
        const isOwn = rest[3] === undefined ? undefined : cast(rest[3], 'bool');
        const gWeighted = weightedGradient(swapHeads(rest[2]!), swapHeads(rest[1]!), rest[0]!, isOwn); // G
        const gValues = matmul(gWeighted, sums, { transposeRight: true });
        const [ofRows, ...more] = pullback(queryResults(own, gValues, isLogarithmic), [rows, ...learned]);
        return {
          states: [
            add(total!, matmul(own.values, gWeighted, { transposeLeft: true })),
            ...totals.map((before, at) => add(before, orNothing(more[at], learned[at]!))),
          ],
          items: [swapHeads(orNothing(ofRows, rows))],
        };
      },
    );
    const gSums = ofQueries.states[0]!; // Z
    const ofKeys = scan(ofQueries.states.slice(1), Object.values(keyTokens), (totals, items) => {
      const rows = keyRows(map, named<KeyTokens>(keyNames, items));
      const { extended, weight } = extend(rows, scale);
      const gValues = matmul(extended, gSums, { transposeRight: true });
      const gExtended = matmul(rows.features.values, gSums);
      const results = keyResults(rows.features, gValues, sum(multiply(extended, gExtended), -1, true), isLogarithmic);
      const [ofRows, ...more] = pullback(results, [rows.rows, ...learned]);
      return {
        states: totals.map((before, at) => add(before, orNothing(more[at], learned[at]!))),
        items: [
          swapHeads(orNothing(ofRows, rows.rows)),
          swapHeads(multiply(slice(gExtended, -1, 0, valueDim), weight)),
        ],
      };
    });
    const [gKey, gValue] = ofKeys.items as [Tensor, Tensor];
    return [byQuery.join(ofQueries.items[0]!), byKey.join(gKey), byKey.join(gValue), ...ofKeys.states];
  };

  const leaves = [inputs.query, inputs.key, inputs.value, ...learned];
  if (!isLogarithmic) {
    return withGradient(leaves, [byQuery.join(output)], ([g]) => gradients(g!))[0]!;
  }

  // Written inside of the branches that call it, the features among it.
  const logSpace = (query: Tensor, key: Tensor): LogSpaceInputs => {
    const logKey = readKey(key)!;
    const mask = keyMask === undefined ? undefined : reshape(keyMask, [batch, 1, keys, 1]);
    return {
      query: readQuery(query)!,
      key: mask === undefined ? logKey : where(mask, logKey, scalar(maskedLogScale)),
      value: swapHeads(inputs.value),
    };
  };
  const lossy = isLossy({ inverse, seen, visible, sums }, map.featureCount);
  const [result] = conditional(
    lossy,
    () =>
      scope('logSpace', () => {
        const [own] = logSpaceBidirectional(logSpace(swapHeads(inputs.query), swapHeads(inputs.key)));
        return [swapHeads(own!)];
      }),
    () => [byQuery.join(output)],
  ) as [Tensor];
  return withGradient(leaves, [result], ([g]) =>
    conditional(
      lossy,
      () =>
        scope('logSpace', () => {
          const [query, key] = [swapHeads(inputs.query), swapHeads(inputs.key)];
          const given = logSpace(query, key);
          const [own, ownInverse] = logSpaceBidirectional(given) as [Tensor, Tensor];
          const gWeighted = weightedGradient(swapHeads(g!), own, ownInverse);
          const [gQuery, gKey, gValue] = logSpaceBidirectionalGradient(given, gWeighted) as [Tensor, Tensor, Tensor];
          const [ofQuery, ofKey, ...more] = pullback(
            [
              [given.query, gQuery],
              [given.key, gKey],
            ],
            [query, key, ...learned],
          );
          return [
            swapHeads(orNothing(ofQuery, query)),
            swapHeads(orNothing(ofKey, key)),
            swapHeads(gValue),
            ...learned.map((like, at) => orNothing(more[at], like)),
          ];
        }),
      () => gradients(g!),
    ),
  )[0]!;
}

/**
 * The loops of bidirectional attention: one over blocks of keys adds up S, and one over blocks of queries reads it, so that the
 * features of a block stay in cache and are never written out; and those back (bidirectional.ts has the formulas).
 */
import type { Dim } from '../base/dimension.js';
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  concatenate,
  exp,
  matmul,
  max,
  maximum,
  multiply,
  scalar,
  scan,
  subtract,
  sum,
  type Tensor,
} from '../graph/index.js';
import { type Blocks, type Listed, listed } from './blocks.js';
import { massOf } from './guard.js';
import { gatherHeads } from './heads.js';
import { swapHeads } from './layout.js';
import {
  asQueries,
  type KeyTokens,
  keyResults,
  keyRows,
  type QueryTokens,
  queryResults,
  queryRows,
  queryScale,
  tokenGradients,
} from './rows.js';
import { emptyLogScale } from './state.js';
import { addSums, type FeatureSums, joinSums, readSums, scaleSums, splitSums, sumsOf, weightsOf } from './sums.js';
import type { TermGradients } from './terms.js';

export interface LoopInputs {
  /** Guarded. */
  readonly map: FeatureMap;
  readonly group: number;
  readonly isLogarithmic: boolean;
  readonly headroom: number;
  readonly byQuery: Blocks;
  readonly byKey: Blocks;
  /** Blocks of tokens [blocks, batch, rows, ·, ·]. */
  readonly queryTokens: QueryTokens;
  readonly keyTokens: KeyTokens;
}

/** What the loops give of queries, [blocks, batch, heads, rows, ·]. */
interface BlockTerms {
  readonly numerator: Tensor;
  readonly denominator: Tensor;
  readonly logScale: Tensor;
  readonly mass?: Tensor | undefined;
}

/** S of all keys with its scale, and the scale of each key [blocks, batch, keyHeads, rows, 1]. */
interface AllKeys {
  readonly sums: FeatureSums;
  /** [batch, keyHeads, 1, 1] */
  readonly scale: Tensor;
  readonly logScales: Tensor;
}

export interface BidirectionalLoop {
  readonly terms: BlockTerms;
  readonly sums: FeatureSums;
  /** From the gradients of the terms [batch, queries, heads, ·] those of queries, keys and values in blocks, and of learned tensors. */
  gradients(g: TermGradients): readonly Tensor[];
}

const nothing = (shape: readonly Dim[]) => broadcastTo(scalar(0), shape);

function readKeys({ map, headroom, keyTokens }: LoopInputs): AllKeys {
  const [, batch, , heads] = keyTokens.key.shape as [Dim, Dim, Dim, Dim];
  const count = map.featureCount;
  const tokens = listed(keyTokens);
  const start = [
    nothing([batch, heads, keyTokens.value.staticDim(-1), count]),
    nothing([batch, heads, 1, count]),
    broadcastTo(scalar(emptyLogScale), [batch, heads, 1, 1]),
  ];
  const { states, items } = scan(start, tokens.tensors, ([values, weights, top], block) => {
    const rows = keyRows(map, tokens.named(block));
    const next = maximum(top!, max(rows.logScale, 2, true));
    const before = scaleSums({ values: values!, weights: weights! }, exp(subtract(top!, next)));
    const total = addSums(before, sumsOf(rows, weightsOf(rows.logScale, next, headroom)));
    return { states: [total.values, total.weights, next], items: [rows.logScale] };
  });
  const [values, weights, scale] = states as [Tensor, Tensor, Tensor];
  return { sums: { values, weights }, scale, logScales: items[0]! };
}

function readQueries({ map, group, headroom, queryTokens }: LoopInputs, { sums, scale }: AllKeys): BlockTerms {
  const tokens = listed(queryTokens);
  let found: Listed<BlockTerms> | undefined;
  const { items } = scan([], tokens.tensors, (_, block) => {
    const queries = queryRows(map, tokens.named(block), group);
    const own = (x: Tensor) => asQueries(x, queries, group);
    const { numerator, denominator } = readSums(queries.values, sums);
    const mass = () => broadcastTo(massOf(sums.weights), denominator.shape);
    found = listed({
      numerator: own(numerator),
      denominator: own(denominator),
      logScale: own(add(queryScale(queries, group), subtract(scale, Math.log(headroom)))),
      mass: map.isSigned ? own(mass()) : undefined,
    });
    return { states: [], items: found.tensors };
  });
  return found!.named(items);
}

/** The gradients of queries and of learned tensors, and Z. */
function queryGradients(inputs: LoopInputs, { sums }: AllKeys, g: TermGradients) {
  const { map, group, isLogarithmic, byQuery, queryTokens } = inputs;
  const learned = map.learned ?? [];
  const joined = joinSums(sums);
  const tokens = listed(queryTokens);
  const given = listed({
    numerator: byQuery.split(g.numerator),
    denominator: byQuery.split(g.denominator),
    // Features with logarithms need to know that their scale counts, and not by how much.
    logScale: isLogarithmic ? undefined : g.logScale && byQuery.split(g.logScale),
  });
  const start = [nothing(joined.shape), ...learned.map(({ shape }) => nothing(shape))];
  return scan(start, [...tokens.tensors, ...given.tensors], ([total, ...totals], items) => {
    const queries = queryRows(map, tokens.named(items), group);
    const own = given.named(items.slice(tokens.tensors.length));
    const [numerator, denominator] = [swapHeads(own.numerator), swapHeads(own.denominator)];
    const gWeighted = gatherHeads(concatenate([numerator, denominator], -1), group); // G
    const gScale = isLogarithmic ? g.logScale : own.logScale && swapHeads(own.logScale);
    const gQuery = { values: asQueries(matmul(gWeighted, joined), queries, group), logScale: gScale };
    const found = tokenGradients(queryResults(queries, gQuery, isLogarithmic), [queries.rows], map);
    const gSums = add(total!, matmul(gWeighted, queries.values, { transposeLeft: true }));
    return { states: [gSums, ...totals.map((before, at) => add(before, found.learned[at]!))], items: found.tokens };
  });
}

/** The gradients of keys, values and learned tensors, given Z and what these have so far. */
function keyGradients(inputs: LoopInputs, { scale, logScales }: AllKeys, gJoined: Tensor, learned: readonly Tensor[]) {
  const { map, isLogarithmic, headroom, keyTokens } = inputs;
  const tokens = listed(keyTokens);
  const gSums = splitSums(gJoined);
  return scan(learned, [...tokens.tensors, logScales], (totals, items) => {
    const rows = keyRows(map, tokens.named(items));
    const weight = weightsOf(items.at(-1) as Tensor, scale, headroom);
    const weighted = multiply(rows.value, weight);
    const gFeatures = matmul(concatenate([weighted, weight], -1), gJoined);
    const { numerator: gValue, denominator: gWeight } = readSums(rows.features.values, gSums);
    const gScale = add(sum(multiply(weighted, gValue), -1, true), multiply(weight, gWeight));
    const found = tokenGradients(keyResults(rows, gFeatures, gScale, isLogarithmic), [rows.rows], map);
    return {
      states: totals.map((before, at) => add(before, found.learned[at]!)),
      items: [...found.tokens, swapHeads(multiply(gValue, weight))],
    };
  });
}

export function bidirectionalLoop(inputs: LoopInputs): BidirectionalLoop {
  const keys = readKeys(inputs);
  return {
    terms: readQueries(inputs, keys),
    sums: keys.sums,
    gradients(g) {
      const ofQueries = queryGradients(inputs, keys, g);
      const [gJoined, ...learned] = ofQueries.states as [Tensor, ...Tensor[]];
      const ofKeys = keyGradients(inputs, keys, gJoined, learned);
      return [...ofQueries.items, ...ofKeys.items, ...ofKeys.states];
    },
  };
}

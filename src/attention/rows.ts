/**
 * The rows of a block of queries or keys, their features, and how gradients get back to them. Axes: [batch, heads, block, ·]
 * of queries and [batch, keyHeads, block, ·] of keys; what queries share with keys is [batch, keyHeads, group·block, ·].
 */
import type { FeatureMap, Features } from '../features/index.js';
import { broadcastTo, multiply, pullback, scalar, type Tensor, where } from '../graph/index.js';
import { gatherHeads, splitHeads } from './heads.js';
import { swapHeads } from './layout.js';
import { maskedLogScale } from './state.js';

export interface QueryTokens {
  /** [batch, block, heads, dim] */
  readonly query: Tensor;
  /** [batch, block, 1, 1], for features that use positions. */
  readonly queryPosition?: Tensor | undefined;
}

export interface KeyTokens {
  /** [batch, block, keyHeads, dim] */
  readonly key: Tensor;
  readonly value: Tensor;
  readonly keyPosition?: Tensor | undefined;
  /** [batch, 1, block, 1]: false for keys that are hidden, and for padding. */
  readonly mask?: Tensor<'bool'> | undefined;
}

export const turned = (x: Tensor | undefined) => (x === undefined ? undefined : swapHeads(x));

export interface QueryRows {
  readonly rows: Tensor;
  readonly features: Features;
  /** The values of the features, [batch, keyHeads, group·block, features]. */
  readonly values: Tensor;
}

export function queryRows(map: FeatureMap, tokens: QueryTokens, group: number): QueryRows {
  const rows = swapHeads(tokens.query);
  const features = map.query(rows, turned(tokens.queryPosition));
  return { rows, features, values: gatherHeads(features.values, group) };
}

export interface KeyRows {
  readonly rows: Tensor;
  readonly features: Features;
  /** [batch, keyHeads, block, 1] */
  readonly logScale: Tensor;
  readonly value: Tensor;
}

export function keyRows(map: FeatureMap, tokens: KeyTokens): KeyRows {
  const rows = swapHeads(tokens.key);
  const features = map.key(rows, turned(tokens.keyPosition), tokens.mask);
  const value = swapHeads(tokens.value);
  const plain = broadcastTo(features.logScale ?? scalar(0), [...value.shape.slice(0, 3), 1]);
  const logScale = tokens.mask === undefined ? plain : where(tokens.mask, plain, scalar(maskedLogScale));
  return { rows, features, logScale, value };
}

/** The logarithmic scale of each query's features, [batch, keyHeads, group·block, 1]. */
export function queryScale({ rows, features }: QueryRows, group: number): Tensor {
  return gatherHeads(broadcastTo(features.logScale ?? scalar(0), [...rows.shape.slice(0, 3), 1]), group);
}

/** Rows of queries beside keys, [batch, keyHeads, group·block, ·], as rows of tokens, [batch, heads, block, ·]. */
export function asQueries(x: Tensor, { rows }: QueryRows, group: number): Tensor {
  return splitHeads(x, group, rows.dim(2));
}

type Results = readonly (readonly [result: Tensor, gradient: Tensor])[];

/** The gradients of what a query's features are made of. */
export interface QueryGradients {
  /** Of the values, [batch, heads, block, features]. */
  readonly values: Tensor;
  /** Of the logScale, [batch, heads, block, 1]; absent where it cancels. */
  readonly logScale?: Tensor | undefined;
}

/** What those gradients go back through: the logarithms of the features, where they have some. */
export function queryResults(
  { features: { values, logScale, logValues, logFeatures } }: QueryRows,
  { values: gradient, logScale: gScale }: QueryGradients,
  isLogarithmic: boolean,
): Results {
  // The gradient of log φ has the part of the scale in it; without that part, logarithms up to a number per row will do.
  if (isLogarithmic) return [[gScale === undefined ? logValues! : logFeatures!, multiply(values, gradient)]];
  return [[values, gradient], ...scaleResults(logScale, gScale)];
}

/** The same for keys. */
export function keyResults(
  { features: { values, logScale, logFeatures } }: KeyRows,
  gradient: Tensor,
  gScale: Tensor,
  isLogarithmic: boolean,
): Results {
  if (isLogarithmic) return [[logFeatures!, multiply(values, gradient)]];
  return [[values, gradient], ...scaleResults(logScale, gScale)];
}

/** The gradient of a scale where each row has one of its own. */
function scaleResults(logScale: Tensor | undefined, gradient: Tensor | undefined): Results {
  return logScale === undefined || logScale.rank === 0 || gradient === undefined ? [] : [[logScale, gradient]];
}

/** The gradients of rows, as tokens [batch, block, ·, dim], and of a map's learned tensors, from those of their features. */
export function tokenGradients(
  results: Results,
  rows: readonly Tensor[],
  { learned = [] }: FeatureMap,
): { readonly tokens: readonly Tensor[]; readonly learned: readonly Tensor[] } {
  const found = pullback(results, [...rows, ...learned]);
  const all = [...rows, ...learned].map((like, at) => found[at] ?? broadcastTo(scalar(0), like.shape));
  return { tokens: all.slice(0, rows.length).map(swapHeads), learned: all.slice(rows.length) };
}

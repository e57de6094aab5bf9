/**
 * Attention to some keys of which features know only the sum: by exact weights, and by those that features estimate, so that
 * `withoutParts` can take these out of a sum over all keys.
 */
import type { FeatureMap } from '../features/index.js';
import {
  add,
  broadcastTo,
  concatenate,
  lessOrEqual,
  log,
  matmul,
  maximum,
  multiply,
  not,
  scalar,
  sum,
  type Tensor,
  transpose,
} from '../graph/index.js';
import { swapHeads } from './layout.js';
import type { AttentionTerms } from './terms.js';
import { meanOf, seesSome } from './visible.js';

/** Rows [batch, heads, rows, ·] as attention compares them: themselves, and their features where there are some. */
export interface ComparedRows {
  readonly rows: Tensor;
  readonly features?: { readonly values: Tensor; readonly logScale: Tensor } | undefined;
}

/** The rows of queries or of keys with their features. */
export function comparedRows(rows: Tensor, map: FeatureMap | undefined, kind: 'query' | 'key'): ComparedRows {
  if (map === undefined) return { rows };
  const { values, logScale } = map[kind](rows);
  return { rows, features: { values, logScale: broadcastTo(logScale ?? scalar(0), [...values.shape.slice(0, 3), 1]) } };
}

/** All of them moved in one way. */
export function mapRows({ rows, features }: ComparedRows, move: (x: Tensor) => Tensor): ComparedRows {
  if (features === undefined) return { rows: move(rows) };
  return { rows: move(rows), features: { values: move(features.values), logScale: move(features.logScale) } };
}

/** Rows and those after them. */
export function joinRows(first: ComparedRows, second: ComparedRows): ComparedRows {
  const both = (a: Tensor, b: Tensor) => concatenate([a, b], 2);
  const rows = both(first.rows, second.rows);
  if (first.features === undefined || second.features === undefined) return { rows };
  const [a, b] = [first.features, second.features];
  return { rows, features: { values: both(a.values, b.values), logScale: both(a.logScale, b.logScale) } };
}

/** The terms of some keys that are near, by their exact weights, and by those that features estimate, if there are any. */
export interface NearTerms {
  readonly exact: AttentionTerms;
  readonly estimate?: AttentionTerms | undefined;
}

/** Both of them moved in one way. */
export function mapTerms({ exact, estimate }: NearTerms, move: (terms: AttentionTerms) => AttentionTerms): NearTerms {
  return { exact: move(exact), estimate: estimate && move(estimate) };
}

/** The least product of features whose logarithm is a number. */
const tiny = 1e-37;

/** The logarithms of what features estimate, from the products of their values. */
function logEstimate(products: Tensor, ...scales: readonly Tensor[]): Tensor {
  return scales.reduce((total, scale) => add(total, scale), log(maximum(products, tiny)));
}

/** The terms of queries [batch, heads, rows, ·] over keys [batch, heads, keys, ·] of which they see some. */
export function pairTerms(
  query: ComparedRows,
  key: ComparedRows,
  { value, visible }: { readonly value: Tensor; readonly visible: Tensor<'bool'> },
): NearTerms {
  const seen = seesSome(visible);
  const products = (a: Tensor, b: Tensor, scale = 1) => matmul(a, b, { transposeRight: true, scale });
  const meanBy = (logWeights: Tensor) => meanOf(logWeights, { value, visible, seen, group: 1 });
  const exact = meanBy(products(query.rows, key.rows, query.rows.staticDim(-1) ** -0.5));
  if (query.features === undefined || key.features === undefined) return { exact };
  const scale = transpose(key.features.logScale, [0, 1, 3, 2]);
  const estimated = products(query.features.values, key.features.values);
  return { exact, estimate: meanBy(logEstimate(estimated, query.features.logScale, scale)) };
}

/**
 * The terms of each query over its own key, where the cluster that it asks does not hold it: rows [batch, heads, length, ·] of
 * one length, `asked` and `members` [batch, heads, length, clusters].
 */
export function ownTerms(
  query: ComparedRows,
  key: ComparedRows,
  { value, asked, members }: { readonly value: Tensor; readonly asked: Tensor; readonly members: Tensor },
): NearTerms {
  const product = (a: Tensor, b: Tensor) => sum(multiply(a, b), -1, true);
  const isHidden = lessOrEqual(sum(members, -1, true), product(asked, members));
  const terms = (logScale: Tensor): AttentionTerms => ({
    numerator: swapHeads(value),
    denominator: undefined,
    logScale: swapHeads(logScale),
    visible: swapHeads(not(isHidden)),
  });
  const exact = terms(multiply(product(query.rows, key.rows), query.rows.staticDim(-1) ** -0.5));
  if (query.features === undefined || key.features === undefined) return { exact };
  const { values, logScale } = query.features;
  return { exact, estimate: terms(logEstimate(product(values, key.features.values), logScale, key.features.logScale)) };
}

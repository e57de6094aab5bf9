/** The rows of a block of queries or keys, their features, and how gradients get back to them. Axes: [batch, heads, block, ·]. */
import type { FeatureMap, Features } from '../features/index.js';
import { broadcastTo, multiply, scalar, type Tensor, where } from '../graph/index.js';
import { swapHeads } from './layout.js';
import { maskedLogScale } from './state.js';

export interface QueryTokens {
  /** [batch, block, heads, dim] */
  readonly query: Tensor;
  /** [batch, block, 1, 1], for features that use positions. */
  readonly queryPosition?: Tensor;
}

export interface KeyTokens {
  /** [batch, block, heads, dim] */
  readonly key: Tensor;
  readonly value: Tensor;
  readonly keyPosition?: Tensor;
  /** [batch, 1, block, 1]: false for keys that are hidden, and for padding. */
  readonly mask?: Tensor<'bool'>;
}

export const turned = (x: Tensor | undefined) => (x === undefined ? undefined : swapHeads(x));

export function queryRows(map: FeatureMap, tokens: QueryTokens): { rows: Tensor; features: Features } {
  const rows = swapHeads(tokens.query);
  return { rows, features: map.query(rows, turned(tokens.queryPosition)) };
}

export interface KeyRows {
  readonly rows: Tensor;
  readonly features: Features;
  /** [batch, heads, block, 1] */
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

type Results = readonly (readonly [result: Tensor, gradient: Tensor])[];

/** What the gradient of a query's values goes back through: their logarithms, where they have some. */
export function queryResults({ values, logValues }: Features, gradient: Tensor, isLogarithmic: boolean): Results {
  return isLogarithmic ? [[logValues!, multiply(values, gradient)]] : [[values, gradient]];
}

/** The same for keys, with the gradient of their scale where each has one of its own. */
export function keyResults(
  { values, logScale, logFeatures }: Features,
  gradient: Tensor,
  gScale: Tensor,
  isLogarithmic: boolean,
): Results {
  if (isLogarithmic) return [[logFeatures!, multiply(values, gradient)]];
  return logScale === undefined || logScale.rank === 0
    ? [[values, gradient]]
    : [
        [values, gradient],
        [logScale, gScale],
      ];
}

/** A gradient, or zeros where nothing depends on it. */
export function orNothing(gradient: Tensor | undefined, like: Tensor): Tensor {
  return gradient ?? broadcastTo(scalar(0), like.shape);
}

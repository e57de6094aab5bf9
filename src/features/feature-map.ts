/** What attention and kernel machines ask of a feature map φ: an estimate of a kernel as a product, K(q, k) ≈ φ(q)·φ(k). */
import { add, exp, matmul, multiply, type Tensor, transpose } from '../graph/index.js';

/**
 * The features of rows [..., dim], written as values · exp(logScale) so that neither overflows.
 *
 * Only the product has a meaning, and a map may give `values` a gradient that is right for the product alone: whoever
 * uses the features must depend on values · exp(logScale) of a key, and on the values of a query up to a factor per
 * row, and must pass a gradient to the logScale that it used.
 */
export interface Features {
  /** [..., features] */
  readonly values: Tensor;
  /** [..., 1], or a scalar where it is one for all rows; zero where absent. */
  readonly logScale?: Tensor;
  /** log φ [..., features], without loss for features far below the largest; absent for maps that do not have it. */
  readonly logFeatures?: Tensor;
  /**
   * logFeatures up to a number per row, which is all that attention needs of a query that sees one set of keys; there are
   * none without logFeatures. Attention that is given these and
   * the logFeatures of keys passes its whole gradient to them, and none to values and logScale; it expects values between
   * 0 and 1, whose sum over a row is at least 1.
   */
  readonly logValues?: Tensor;
}

/**
 * A feature map. Rows come as [..., heads, length, dim]; whatever a map has for each head broadcasts against that.
 * A position is [..., length, 1] in float32, and is given to maps that use it alone. A mask [..., length, 1] is false for
 * keys that nobody sees; maps that are not sequence-wide have no use for it.
 */
export interface FeatureMap {
  readonly name: string;
  /** The columns of φ. */
  readonly featureCount: number;
  /** Set when φ(q)·φ(k) can be zero or negative: attention guards the denominators of such maps. */
  readonly isSigned?: boolean;
  /** Set when the features of a key depend on the whole sequence, which causal attention refuses. */
  readonly isSequenceWide?: boolean;
  /** Tensors with gradients that the features depend on beside their rows. */
  readonly learned?: readonly Tensor[];
  /** Set when features depend on the position of a token. */
  readonly usesPosition?: boolean;
  /** The features of rows [..., length, dim] of queries: [..., length, features]. */
  query(x: Tensor, position?: Tensor): Features;
  /** The features of rows of keys; those that `mask` leaves out do not count. */
  key(x: Tensor, position?: Tensor, mask?: Tensor<'bool'>): Features;
}

/** φ itself, [..., features]: for uses that need the scale of the kernel. It can overflow where the kernel does. */
export function explicitFeatures({ values, logScale }: Features): Tensor {
  return logScale === undefined ? values : multiply(values, exp(logScale));
}

/** φ(qᵢ)·φ(kⱼ) of all pairs of rows: [..., queries, dim] and [..., keys, dim] → [..., queries, keys]. */
export function estimatedKernel(
  map: FeatureMap,
  query: Tensor,
  key: Tensor,
  positions: { readonly query?: Tensor; readonly key?: Tensor } = {},
): Tensor {
  const left = map.query(query, positions.query);
  const right = map.key(key, positions.key);
  const products = matmul(left.values, right.values, { transposeRight: true });
  const scales = [
    left.logScale,
    right.logScale && asRow(right.logScale), // [..., 1, keys]
  ].filter((scale) => scale !== undefined);
  return scales.length === 0 ? products : multiply(products, exp(scales.reduce((a, b) => add(a, b))));
}

/** [..., keys, 1] → [..., 1, keys]; a scalar stays one. */
function asRow(x: Tensor): Tensor {
  const { rank } = x;
  if (rank === 0) return x;
  return transpose(
    x,
    Array.from({ length: rank }, (_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis)),
  );
}

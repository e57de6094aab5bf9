/** What attention asks of a feature map φ: an estimate of a kernel as a product, K(q, k) ≈ φ(q)·φ(k). */
import type { Tensor } from '../graph/index.js';

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
  /** [..., 1], zero where absent. */
  readonly logScale?: Tensor;
  /**
   * log φ [..., features], without loss for features far below the largest; absent for maps that are not positive.
   * Attention that is given them passes all of its gradient to them, and none to `values` and `logScale`. A map with
   * them has `values` between 0 and 1, whose sum over a row of a key is at least 1.
   */
  readonly logFeatures?: Tensor;
}

export interface FeatureMap {
  readonly name: string;
  readonly featureCount: number;
  /** Set when the features of a key depend on the whole sequence, which causal attention refuses. */
  readonly isSequenceWide?: boolean;
  query(x: Tensor): Features;
  key(x: Tensor): Features;
}

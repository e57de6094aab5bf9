/** What feature maps are made of beside their options: `T` is a tensor of a graph, an array, or a mere layout. */
import type { Tensor } from '../graph/index.js';

/** The maps whose shape is computed from moments of queries and keys. */
export const shapeMethods = ['oprf', 'sderf', 'aderf'] as const;
/** How a map is shaped by the moments of queries and keys; see `shapeFromMoments`. */
export type ShapeMethod = (typeof shapeMethods)[number];

/** The shape of the features of each head; see `shapeFromMoments`. */
export interface FeatureShape<T = Tensor> {
  /** T_q and T_k, [heads, dim, dim], for x scaled by dim^(−1/4). */
  readonly query: T;
  readonly key: T;
  /** a, [heads, dim]. */
  readonly curvature: T;
}

/** The learned matrices of a map whose features are trained (Hedgehog). */
export interface LearnedFeatureParams<T = Tensor> {
  /** [heads, dim, dim], of the queries and of the keys. */
  readonly query: T;
  readonly key: T;
}

/** Random and measured parts are buffers of a model, learned ones parameters; all are inputs of a graph. */
export interface FeatureMapParts<T = Tensor> {
  /** Ω [features, dim], or the signs of the polynomial map. */
  readonly projection?: T | undefined;
  /** Of maps that are shaped by moments. */
  readonly shape?: FeatureShape<T> | undefined;
  readonly learned?: LearnedFeatureParams<T> | undefined;
}

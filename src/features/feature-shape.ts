/** The shape of features that suit queries and keys of given moments (`shaped.ts` uses it, `moments.ts` finds it). */
import { Matrix } from 'ml-matrix';
import { float32, type HostTensor } from '../base/array.js';
import { spec, type Tensor, type TensorSpec } from '../graph/index.js';

export const shapeMethods = ['oprf', 'sderf', 'aderf'] as const;
export type ShapeMethod = (typeof shapeMethods)[number];

/** The shape of the features of each head; see `shapeFromMoments`. */
export interface FeatureShape<T = Tensor> {
  /** T_q and T_k, [heads, dim, dim], for x scaled by dim^(−1/4). */
  readonly query: T;
  readonly key: T;
  /** a, [heads, dim]. */
  readonly curvature: T;
}

/** A shape without its values. */
export function shapeLayout(heads: number, dim: number): FeatureShape<TensorSpec> {
  const transform = spec('float32', [heads, dim, dim]);
  return { query: transform, key: transform, curvature: spec('float32', [heads, dim]) };
}

/** T = I and a = 0, for which shaped features are SM+. */
export function neutralShape(heads: number, dim: number): FeatureShape<HostTensor<'float32'>> {
  const identity = Matrix.eye(dim).to1DArray();
  const transform = () => float32([heads, dim, dim], Array.from({ length: heads }, () => identity).flat());
  return { query: transform(), key: transform(), curvature: float32([heads, dim], new Float32Array(heads * dim)) };
}

/** Parameters before they have values: shapes, and how they are drawn. */
import { float32, type HostTensor } from '../base/array.js';
import type { Random } from '../base/random.js';
import { elementCount } from '../base/shape.js';
import { type MapLeaves, mapTree } from '../base/tree.js';

/** A float32 parameter and the normal distribution of its first values. */
export interface ParameterSpec {
  readonly dtype: 'float32';
  readonly shape: readonly number[];
  readonly mean: number;
  readonly deviation: number;
  /** Added to the diagonal of the two trailing axes. */
  readonly diagonal?: number;
}

/** Values drawn from N(mean, deviation²). */
export function drawn(shape: readonly number[], deviation: number): ParameterSpec {
  return { dtype: 'float32', shape, mean: 0, deviation };
}

/** The same value everywhere. */
export function filled(shape: readonly number[], value: number): ParameterSpec {
  return { dtype: 'float32', shape, mean: value, deviation: 0 };
}

/** Square matrices in the two trailing axes with the same value on each diagonal and zeros beside it. */
export function diagonal(shape: readonly number[], value: number): ParameterSpec {
  return { ...filled(shape, 0), diagonal: value };
}

/** First values for every parameter of a tree; each draws from a generator named by its path. */
export function initialize<T>(layout: T, random: Random): MapLeaves<T, HostTensor<'float32'>> {
  return mapTree(layout, ({ shape, mean, deviation, diagonal: own = 0 }: ParameterSpec, path) => {
    const count = elementCount(shape);
    const values =
      deviation === 0
        ? new Float32Array(count).fill(mean)
        : Float32Array.from(random.split(path).normals(count), (value) => mean + deviation * value);
    if (own !== 0) {
      const dim = shape.at(-1) as number;
      for (let at = 0; at < count; at += dim * dim) {
        for (let i = 0; i < dim; i++) values[at + i * (dim + 1)]! += own;
      }
    }
    return float32(shape, values);
  });
}

/** Queries and keys whose directions differ in size, between the two and with means that are not zero. */
import { float32, type HostTensor, Random } from '../../src/base/index.js';
import type { FeatureMoments } from '../../src/features/index.js';
import type { Vector } from './estimates.js';

export interface Rows {
  readonly query: readonly Vector[];
  readonly key: readonly Vector[];
}

/** `count` rows each: directions turned by a fixed rotation, whose sizes fall geometrically, of queries and keys in opposite order. */
export function anisotropicRows(dim: number, size: number, count: number): Rows {
  const random = Random.fromSeed(31);
  const draw = (name: string, isReversed: boolean): Vector[] => {
    const normals = random.split(name).normals(count * dim);
    return Array.from({ length: count }, (_, row) => {
      const own = Array.from({ length: dim }, (_, l) => {
        const rank = isReversed ? dim - 1 - l : l;
        return size * 2.5 ** (1 - (2 * rank) / (dim - 1)) * (normals[row * dim + l]! + 0.3);
      });
      // A Householder reflection mixes the axes.
      const sum = (2 / dim) * own.reduce((a, b) => a + b, 0);
      return own.map((value) => value - sum);
    });
  };
  return { query: draw('query', false), key: draw('key', true) };
}

/** The moments of one head, for x scaled by dim^(−1/4). */
export function momentsOf({ query, key }: Rows): FeatureMoments<HostTensor> {
  const side = (rows: readonly Vector[]) => {
    const dim = rows[0]!.length;
    const scaled = rows.map((row) => row.map((value) => value * dim ** -0.25));
    const average = (f: (row: Vector) => number) => scaled.reduce((total, row) => total + f(row), 0) / rows.length;
    return {
      mean: float32(
        [1, dim],
        Array.from({ length: dim }, (_, i) => average((row) => row[i]!)),
      ),
      second: float32(
        [1, dim, dim],
        Array.from({ length: dim * dim }, (_, at) => average((row) => row[Math.floor(at / dim)]! * row[at % dim]!)),
      ),
    };
  };
  return { query: side(query), key: side(key) };
}

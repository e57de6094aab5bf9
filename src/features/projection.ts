/**
 * Random projections Ω [features, dim]: the frequencies of the random features.
 *
 * Each row is distributed as a standard normal vector. Orthogonal rows come in blocks of dim, each block a Haar-uniform
 * rotation (Choromanski et al. 2021, section 3.3): they lower the variance and leave every estimate unbiased. The
 * Gram–Schmidt process keeps the signs that make its result Haar; the Q of a LAPACK factorisation is not.
 */
import { float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';

export interface ProjectionOptions {
  /** orthogonal: rows of one block are perpendicular · iid: independent rows. */
  readonly kind: 'orthogonal' | 'iid';
  /** chi: lengths as independent normal rows have them, unbiased · root: all √dim, regularised (biased, less variance). */
  readonly rowNorm: 'chi' | 'root';
}

/** ⌈dim·ln dim⌉, the order of the number of features that a given error needs (theorem 4 of the paper). */
export function defaultFeatureCount(dim: number): number {
  return Math.max(1, Math.ceil(dim * Math.log(dim)));
}

/** Makes the rows of a square matrix orthonormal in place: modified Gram–Schmidt, twice for float64 accuracy. */
function orthonormalizeRows(matrix: Float64Array, dim: number): void {
  for (let row = 0; row < dim; row++) {
    const current = matrix.subarray(row * dim, (row + 1) * dim);
    for (let pass = 0; pass < 2; pass++) {
      for (let other = 0; other < row; other++) {
        const base = other * dim;
        let product = 0;
        for (let i = 0; i < dim; i++) product += (current[i] as number) * (matrix[base + i] as number);
        for (let i = 0; i < dim; i++) current[i] = (current[i] as number) - product * (matrix[base + i] as number);
      }
    }
    scaleTo(current, 1);
  }
}

function norm(vector: Float64Array): number {
  let total = 0;
  for (const value of vector) total += value * value;
  return Math.sqrt(total);
}

function scaleTo(vector: Float64Array, length: number): void {
  const factor = length / norm(vector);
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) * factor;
}

/**
 * A projection Ω [count, dim] in float32.
 *
 * @throws CONFIG when a count is not a positive integer.
 */
export function drawProjection(
  random: Random,
  count: number,
  dim: number,
  { kind, rowNorm }: ProjectionOptions = { kind: 'orthogonal', rowNorm: 'chi' },
): HostTensor<'float32'> {
  for (const [name, value] of Object.entries({ count, dim })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new PerformerError('CONFIG', `drawProjection: expected a positive integer as ${name}, got ${value}.`);
    }
  }
  const blocks = Math.ceil(count / dim);
  const rows = random.split('directions').normals(blocks * dim * dim);
  if (kind === 'orthogonal') {
    for (let block = 0; block < blocks; block++) {
      orthonormalizeRows(rows.subarray(block * dim * dim, (block + 1) * dim * dim), dim);
    }
  }
  // The length of an iid row is its own; an orthogonal one is given that of a fresh normal vector.
  const lengths = kind === 'orthogonal' && rowNorm === 'chi' ? random.split('lengths').normals(count * dim) : undefined;
  for (let row = 0; row < count; row++) {
    const vector = rows.subarray(row * dim, (row + 1) * dim);
    if (rowNorm === 'root') scaleTo(vector, Math.sqrt(dim));
    else if (lengths !== undefined) scaleTo(vector, norm(lengths.subarray(row * dim, (row + 1) * dim)));
  }
  return float32([count, dim], rows.subarray(0, count * dim));
}

/** 64 bits in hexadecimal that tell one set of projections from another (FNV-1a over their words, in two lanes). */
export function projectionDigest(projections: readonly HostTensor<'float32'>[]): string {
  const lanes = [0x811c9dc5, 0x9dc5811c];
  const mix = (word: number) => {
    lanes[0] = Math.imul((lanes[0] as number) ^ word, 0x01000193);
    lanes[1] = Math.imul((lanes[1] as number) ^ ((word >>> 16) | (word << 16)), 0x01000193) + 0x9e3779b9;
  };
  for (const { shape, data } of projections) {
    shape.forEach(mix);
    for (const word of new Uint32Array(data.buffer, data.byteOffset, data.length)) mix(word);
  }
  return lanes.map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
}

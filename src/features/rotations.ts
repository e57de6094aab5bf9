/**
 * Random sets of `dim` unit vectors, written over the rows of a square matrix of independent normals.
 *
 *   orthogonal   Gram–Schmidt: Haar-uniform. O(dim³).
 *   structured   (HD)³ (Yu et al. 2016, arXiv 1610.09072): Walsh–Hadamard transforms H and random signs D. O(dim² log dim) to
 *                draw, for dims that are powers of two; orthogonal, and uniform but for higher moments, which are off by
 *                O(1/dim): at |q + k|² = √dim estimates of dim 8 are within 2 in 100, and larger dims are nearer.
 *   givens       Kac's random walk: 2·dim·⌈log₂ dim⌉ rotations of two coordinates. O(dim² log dim); orthogonal, nearly uniform.
 *   simplex      SimRF (Reid et al. 2023, arXiv 2301.13856): the corners of a regular simplex, turned Haar-uniformly, which
 *                point away from each other: the least variance among isotropic sets. O(dim³).
 */
import { PerformerError } from '../base/errors.js';
import type { Random } from '../base/random.js';

export const rotationKinds = ['orthogonal', 'structured', 'givens', 'simplex'] as const;
/** How the rows of a block are made orthogonal, or, as a simplex, are spread out. */
export type RotationKind = (typeof rotationKinds)[number];

export function norm(vector: Float64Array): number {
  let total = 0;
  for (const value of vector) total += value * value;
  return Math.sqrt(total);
}

export function scaleTo(vector: Float64Array, length: number): void {
  const factor = length / norm(vector);
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) * factor;
}

function dot(left: Float64Array, right: Float64Array): number {
  let total = 0;
  for (let i = 0; i < left.length; i++) total += (left[i] as number) * (right[i] as number);
  return total;
}

/** target += factor · source */
function addScaled(target: Float64Array, source: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] = (target[i] as number) + factor * (source[i] as number);
}

/** Modified Gram–Schmidt, twice for float64 accuracy. It keeps the signs that make the result Haar. */
function orthonormalize(rows: readonly Float64Array[]): void {
  rows.forEach((row, at) => {
    for (let pass = 0; pass < 2; pass++) {
      for (const other of rows.slice(0, at)) addScaled(row, other, -dot(row, other));
    }
    scaleTo(row, 1);
  });
}

function setIdentity(rows: readonly Float64Array[]): void {
  rows.forEach((row, at) => {
    row.fill(0);
    row[at] = 1;
  });
}

/** The normalised Walsh–Hadamard transform of a vector, in place. */
function hadamard(vector: Float64Array): void {
  for (let half = 1; half < vector.length; half *= 2) {
    for (let start = 0; start < vector.length; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const [a, b] = [vector[i] as number, vector[i + half] as number];
        vector[i] = (a + b) * Math.SQRT1_2;
        vector[i + half] = (a - b) * Math.SQRT1_2;
      }
    }
  }
}

function structure(rows: readonly Float64Array[], random: Random): void {
  const dim = rows.length;
  if ((dim & (dim - 1)) !== 0) {
    throw new PerformerError(
      'CONFIG',
      `structured projections: expected a dim that is a power of two, got ${dim}. Use orthogonal or givens.`,
    );
  }
  const signs = [0, 1, 2].map((pass) => random.split(pass).bits(dim));
  setIdentity(rows);
  for (const row of rows) {
    // x meets the signs before the first transform, as in the paper: no direction of x is in line with a row of H.
    for (const flips of signs) {
      hadamard(row);
      for (let i = 0; i < dim; i++) if (((flips[i] as number) & 1) === 1) row[i] = -(row[i] as number);
    }
  }
}

function rotatePairs(rows: readonly Float64Array[], random: Random): void {
  const dim = rows.length;
  setIdentity(rows);
  // A random sign for each coordinate, since a product of rotations has determinant 1.
  const words = random.split('signs').bits(dim);
  rows.forEach((row, at) => {
    if (((words[at] as number) & 1) === 1) row[at] = -1;
  });
  if (dim === 1) return;
  const turns = 2 * dim * Math.ceil(Math.log2(dim));
  const bits = random.split('turns').bits(3 * turns);
  for (let turn = 0; turn < turns; turn++) {
    const i = (bits[3 * turn] as number) % dim;
    const j = (i + 1 + ((bits[3 * turn + 1] as number) % (dim - 1))) % dim;
    const angle = (2 * Math.PI * (bits[3 * turn + 2] as number)) / 2 ** 32;
    rotate(rows[i] as Float64Array, rows[j] as Float64Array, Math.cos(angle), Math.sin(angle));
  }
}

function rotate(left: Float64Array, right: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < left.length; i++) {
    const [a, b] = [left[i] as number, right[i] as number];
    left[i] = cosine * a - sine * b;
    right[i] = sine * a + cosine * b;
  }
}

/** Rows S·R with R Haar: sᵢ = √(d/(d−1)) eᵢ − (√d + 1)/(d−1)^{3/2} (1,…,1,0) for i < d, s_d = (1,…,1,0)/√(d−1). */
function arrangeSimplex(rows: readonly Float64Array[]): void {
  orthonormalize(rows);
  const dim = rows.length;
  if (dim === 1) return;
  const center = new Float64Array(dim); // the sum of all rows but the last
  for (const row of rows.slice(0, -1)) addScaled(center, row, 1);
  const [own, shared] = [Math.sqrt(dim / (dim - 1)), -(Math.sqrt(dim) + 1) / (dim - 1) ** 1.5];
  rows.forEach((row, at) => {
    const isLast = at === dim - 1;
    for (let i = 0; i < dim; i++) {
      const middle = center[i] as number;
      row[i] = isLast ? middle / Math.sqrt(dim - 1) : own * (row[i] as number) + shared * middle;
    }
  });
}

/** Turns `dim` rows of independent normals into unit vectors of a kind. Throws CONFIG for a dim that it cannot have. */
export function arrangeDirections(kind: RotationKind, rows: readonly Float64Array[], random: Random): void {
  if (kind === 'orthogonal') orthonormalize(rows);
  else if (kind === 'structured') structure(rows, random);
  else if (kind === 'givens') rotatePairs(rows, random);
  else arrangeSimplex(rows);
}

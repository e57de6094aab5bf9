/**
 * Random projections Ω [features, dim]: the frequencies of the random features.
 *
 * Each row is distributed as a standard normal vector. Rows that are orthogonal, or the corners of a simplex, come in
 * blocks of dim (Choromanski et al. 2021, section 3.3; `rotations.ts`): they lower the variance and leave every estimate
 * unbiased.
 */

import { float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Fingerprint } from '../base/fingerprint.js';
import type { Random } from '../base/random.js';
import { arrangeDirections, norm, type RotationKind, rotationKinds, scaleTo } from './rotations.js';

/** Every `ProjectionKind`. */
export const projectionKinds = ['iid', ...rotationKinds] as const;
/** How the rows of a random projection depend on each other. */
export type ProjectionKind = 'iid' | RotationKind;

export const rowNorms = ['chi', 'root'] as const;

/** How the rows of a random projection are arranged, and how long they are. */
export interface ProjectionOptions {
  /** How the rows of one block of dim are arranged; iid: not at all. */
  readonly kind: ProjectionKind;
  /** chi: lengths as independent normal rows have them, unbiased · root: all √dim, regularised (biased, less variance). */
  readonly rowNorm: (typeof rowNorms)[number];
}

/**
 * ⌈dim·ln dim⌉, the order of the number of features that a given error needs (theorem 4 of the paper). Throws CONFIG unless
 * the dim is a positive integer.
 */
export function defaultFeatureCount(dim: number): number {
  expectCounts('defaultFeatureCount', { dim });
  return Math.max(1, Math.ceil(dim * Math.log(dim)));
}

/** Throws CONFIG unless every count is a positive integer. */
export function expectCounts(where: string, counts: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new PerformerError('CONFIG', `${where}: expected a positive integer as ${name}, got ${value}.`);
    }
  }
}

/** The most entries of a random matrix: a gigabyte of float32. */
export const mostEntries = 2 ** 28;

/** Throws CONFIG unless rows and columns are positive integers that make at most `mostEntries`. */
export function expectEntries(where: string, rows: number, columns: number): void {
  expectCounts(where, { rows, columns });
  if (rows * columns > mostEntries) {
    throw new PerformerError(
      'CONFIG',
      `${where}: expected at most ${mostEntries} entries, got ${rows} × ${columns}. Take fewer features or a smaller dim.`,
    );
  }
}

/** The rows that are drawn for `count`: whole blocks of dim, but of kinds whose rows do not depend on those after them. */
export function drawnRows(kind: ProjectionKind, count: number, dim: number): number {
  return kind === 'iid' || kind === 'orthogonal' ? count : Math.ceil(count / dim) * dim;
}

/**
 * A projection Ω [count, dim] in float32.
 *
 * @throws CONFIG when a count is not a positive integer, there are more than `mostEntries` in all that is drawn, or the dim is
 *   none that the kind can have.
 */
export function drawProjection(
  random: Random,
  count: number,
  dim: number,
  { kind = 'orthogonal', rowNorm = 'chi' }: Partial<ProjectionOptions> = {},
): HostTensor {
  expectCounts('drawProjection', { count, dim });
  if (!projectionKinds.includes(kind) || !rowNorms.includes(rowNorm)) {
    const wanted = `a kind of ${projectionKinds.join(', ')} and a rowNorm of ${rowNorms.join(', ')}`;
    throw new PerformerError('CONFIG', `drawProjection: expected ${wanted}, got ${kind} and ${rowNorm}.`);
  }
  const blocks = Math.ceil(count / dim);
  const drawn = drawnRows(kind, count, dim);
  expectEntries('drawProjection', drawn, dim);
  const values = random.split('directions').normals(drawn * dim);
  const rows = Array.from({ length: drawn }, (_, row) => values.subarray(row * dim, (row + 1) * dim));
  if (kind !== 'iid') {
    for (let block = 0; block < blocks; block++) {
      arrangeDirections(kind, rows.slice(block * dim, (block + 1) * dim), random.split(block));
    }
  }
  // The length of an iid row is its own; another one is given that of a fresh normal vector.
  const lengths = kind !== 'iid' && rowNorm === 'chi' ? random.split('lengths').normals(count * dim) : undefined;
  rows.slice(0, count).forEach((vector, row) => {
    if (rowNorm === 'root') scaleTo(vector, Math.sqrt(dim));
    else if (lengths !== undefined) scaleTo(vector, norm(lengths.subarray(row * dim, (row + 1) * dim)));
  });
  return float32([count, dim], values.subarray(0, count * dim));
}

/** A matrix [rows, columns] of independent random signs ±1. Throws CONFIG as `expectEntries`. */
export function drawSigns(random: Random, rows: number, columns: number): HostTensor {
  expectEntries('drawSigns', rows, columns);
  return float32(
    [rows, columns],
    Float32Array.from(random.bits(rows * columns), (word) => 1 - 2 * (word & 1)),
  );
}

/** 64 bits in hexadecimal that tell one set of projections from another: the fingerprint of shapes and values. */
export function projectionDigest(projections: readonly HostTensor[]): string {
  const fingerprint = new Fingerprint();
  for (const { shape, data } of projections) {
    fingerprint.add(shape).add(new Uint32Array(data.buffer, data.byteOffset, data.length));
  }
  return fingerprint.toString();
}

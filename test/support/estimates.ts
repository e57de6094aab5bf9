/** Estimates of a kernel by a feature map of this library, feature by feature, and their closed forms. */
import { float32, type HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { explicitFeatures, type FeatureMap, type FeatureMapParts } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import { runOnce } from './attention-run.js';

export type Vector = readonly number[];

export function dot(left: Vector, right: Vector): number {
  return left.reduce((total, value, at) => total + value * right[at]!, 0);
}

export const add = (left: Vector, right: Vector): Vector => left.map((value, at) => value + right[at]!);
export const mean = (values: Vector): number => values.reduce((total, value) => total + value, 0) / values.length;

export interface Estimate {
  readonly mean: number;
  readonly meanError: number;
  readonly variance: number;
  readonly varianceError: number;
}

/** Mean and variance of independent samples, each with its standard error. */
export function summarize(samples: Vector): Estimate {
  const average = mean(samples);
  const squares = samples.map((sample) => (sample - average) ** 2);
  const variance = mean(squares);
  const spread = mean(squares.map((square) => (square - variance) ** 2));
  return {
    mean: average,
    meanError: Math.sqrt(variance / samples.length),
    variance,
    varianceError: Math.sqrt(spread / samples.length),
  };
}

/**
 * φ_f(q)·φ_f(k)·features for every feature f of a map in float64: each is an estimate of the kernel of its own, and their
 * mean is that of the map.
 */
export async function estimatesOf(
  build: (parts: FeatureMapParts) => FeatureMap,
  parts: FeatureMapParts<HostTensor>,
  query: Vector,
  key: Vector,
): Promise<number[]> {
  const run = ({ parts: given, q, k }: { parts: FeatureMapParts; q: Tensor; k: Tensor }) => {
    const map = build(given);
    return { left: explicitFeatures(map.query(q)), right: explicitFeatures(map.key(k)) };
  };
  const row = (values: Vector): HostTensor => ({ ...float32([1, 1, values.length], values), dtype: 'float32' });
  const { left, right } = (await runOnce(referenceEngine(), run as never, {
    parts,
    q: row(query),
    k: row(key),
  })) as unknown as { left: HostTensor; right: HostTensor };
  const count = left.data.length;
  return Array.from({ length: count }, (_, f) => Number(left.data[f]) * Number(right.data[f]) * count);
}

/** The means of consecutive blocks. */
export function blockMeans(samples: Vector, size: number): number[] {
  return Array.from({ length: Math.floor(samples.length / size) }, (_, block) =>
    mean(samples.slice(block * size, (block + 1) * size)),
  );
}

/** Features that belong to one row of Ω stand `rows` apart (sine and cosine, +ω and −ω): the mean of each pair. */
export function pairMeans(samples: Vector): number[] {
  const half = samples.length / 2;
  return Array.from({ length: half }, (_, at) => (samples[at]! + samples[at + half]!) / 2);
}

/** What shaped features are made of, for one head. */
export interface PlainShape {
  /** T_q x and T_k y, for x and y scaled by dim^(−1/4). */
  readonly query: (x: Vector) => Vector;
  readonly key: (y: Vector) => Vector;
  readonly curvature: Vector;
}

/**
 * log E[(φ_f(q)φ_f(k)·features)²] for an iid row: Σ_l log(1 − 4a_l) − ½ log(1 − 8a_l) + 2(1 − 4a_l)/(1 − 8a_l) z_l², less
 * |left|² + |right|², with z = left + right, left = T_q x and right = T_k y. SM+ is T = I, a = 0.
 */
export function logSecondMoment(curvature: Vector, left: Vector, right: Vector): number {
  let total = 0;
  curvature.forEach((a, l) => {
    const z = left[l]! + right[l]!;
    total += Math.log(1 - 4 * a) - Math.log(1 - 8 * a) / 2 + ((2 * (1 - 4 * a)) / (1 - 8 * a)) * z * z;
    total -= left[l]! ** 2 + right[l]! ** 2;
  });
  return total;
}

/** The shape of head 0 of what `shapeFromMoments` gave. */
export function plainShape(shape: NonNullable<FeatureMapParts<HostTensor>['shape']>): PlainShape {
  const dim = shape.curvature.shape[1]!;
  const rows = (matrix: HostTensor) => (x: Vector) =>
    Array.from({ length: dim }, (_, row) => dot(Array.from(matrix.data.slice(row * dim, (row + 1) * dim), Number), x));
  return {
    query: rows(shape.query),
    key: rows(shape.key),
    curvature: Array.from(shape.curvature.data.slice(0, dim), Number),
  };
}

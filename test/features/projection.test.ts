/** Random projections: their geometry, and the mean and variance of the estimator that stands on them. */
import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, PerformerError, Random } from '../../src/base/index.js';
import {
  defaultFeatureCount,
  drawCauchy,
  drawProjection,
  drawSigns,
  type ProjectionOptions,
  projectionDigest,
} from '../../src/features/index.js';
import { rowsOf } from '../support/attention-oracle.js';

type Vector = Float64Array;

function dot(left: Vector, right: Vector): number {
  let total = 0;
  for (let i = 0; i < left.length; i++) total += left[i]! * right[i]!;
  return total;
}

const norm = (vector: Vector) => Math.sqrt(dot(vector, vector));
const mean = (values: readonly number[]) => values.reduce((total, value) => total + value, 0) / values.length;
const constantVector = (dim: number, value: number) => new Float64Array(dim).fill(value);

interface Estimate {
  readonly mean: number;
  /** Of the mean. */
  readonly standardError: number;
  /** The mean squared error against the truth, and its own standard error. */
  readonly squaredError: number;
  readonly squaredErrorError: number;
}

function summarize(samples: readonly number[], truth: number): Estimate {
  const average = mean(samples);
  const variance = mean(samples.map((sample) => (sample - average) ** 2));
  const squares = samples.map((sample) => (sample - truth) ** 2);
  const squaredError = mean(squares);
  const spread = mean(squares.map((square) => (square - squaredError) ** 2));
  return {
    mean: average,
    standardError: Math.sqrt(variance / samples.length),
    squaredError,
    squaredErrorError: Math.sqrt(spread / samples.length),
  };
}

/** The positive estimate of exp(x·y): the mean over rows ω of exp(ω·z − (|x|² + |y|²)/2), z = x + y. */
function positiveEstimate(rows: readonly Vector[], x: Vector, y: Vector): number {
  const z = x.map((value, at) => value + y[at]!);
  const offset = (dot(x, x) + dot(y, y)) / 2;
  return mean(rows.map((row) => Math.exp(dot(row, z) - offset)));
}

function estimates(draws: number, x: Vector, y: Vector, draw: (random: Random) => readonly Vector[]): Estimate {
  const random = Random.fromSeed(11);
  const samples = Array.from({ length: draws }, (_, at) => positiveEstimate(draw(random.split(at)), x, y));
  return summarize(samples, Math.exp(dot(x, y)));
}

const ours =
  (count: number, dim: number, options?: ProjectionOptions) =>
  (random: Random): readonly Vector[] =>
    rowsOf(drawProjection(random, count, dim, options));

/**
 * What the public codes draw: the columns of the Q of a Householder factorisation of a normal matrix, as LAPACK has it
 * (the diagonal of R takes the sign opposite to the pivot, but for the last one), each scaled to the length of a fresh normal vector.
 */
function householderRows(random: Random, dim: number): readonly Vector[] {
  const normals = random.split('directions').normals(dim * dim);
  const columns = Array.from({ length: dim }, (_, at) => normals.slice(at * dim, (at + 1) * dim));
  const reflectors: Vector[] = [];
  for (let step = 0; step < dim - 1; step++) {
    const vector = columns[step]!.slice();
    vector.fill(0, 0, step);
    vector[step]! += Math.sign(vector[step]!) * norm(vector);
    const length = norm(vector);
    const reflector = vector.map((value) => value / length);
    reflectors.push(reflector);
    for (const column of columns.slice(step)) reflect(column, reflector);
  }
  const lengths = random.split('lengths').normals(dim * dim);
  return columns.map((_, at) => {
    const column = new Float64Array(dim);
    column[at] = 1;
    for (const reflector of [...reflectors].reverse()) reflect(column, reflector); // Q eₐₜ = H₁ ⋯ H_d eₐₜ
    const length = norm(lengths.subarray(at * dim, (at + 1) * dim));
    return column.map((value) => value * length);
  });
}

function reflect(column: Vector, reflector: Vector): void {
  const product = 2 * dot(column, reflector);
  for (let i = 0; i < column.length; i++) column[i]! -= product * reflector[i]!;
}

describe('orthogonal directions are uniform', () => {
  const dim = 16;

  // |z| = 1, where a draw is off by .29 of the truth: 20,000 draws give the mean to .2 %.
  it.each([1 / 8, -1 / 8])('the estimate at x = y = %d·(1, …, 1) is unbiased and within 2 in 100', (value) => {
    const x = constantVector(dim, value);
    const truth = Math.exp(dot(x, x));
    const estimate = estimates(20_000, x, x, ours(dim, dim));
    expect(estimate.standardError).toBeLessThan(0.005 * truth);
    expect(Math.abs(estimate.mean - truth)).toBeLessThan(4 * estimate.standardError);
    expect(Math.abs(estimate.mean / truth - 1)).toBeLessThan(0.02);
  });

  // |z| = 2, the point of reference/anchors.md: the truth is 2.718, and a raw factorisation gives 1.99 and 3.47.
  it.each([1 / 4, -1 / 4])('the estimate at x = y = %d·(1, …, 1) is unbiased to 4 standard errors', (value) => {
    const x = constantVector(dim, value);
    const estimate = estimates(20_000, x, x, ours(dim, dim));
    expect(estimate.standardError).toBeLessThan(0.02 * Math.E);
    expect(Math.abs(estimate.mean - Math.E)).toBeLessThan(4 * estimate.standardError);
  });

  it('which the Q of a Householder factorisation, its signs dropped, is not', () => {
    const reflected = householderRows(Random.fromSeed(1), dim);
    for (let a = 0; a < dim; a++) {
      for (let b = 0; b < a; b++) expect(Math.abs(dot(reflected[a]!, reflected[b]!))).toBeLessThan(1e-12);
    }
    const draw = (random: Random) => householderRows(random, dim);
    const low = estimates(5000, constantVector(dim, 1 / 4), constantVector(dim, 1 / 4), draw);
    const high = estimates(5000, constantVector(dim, -1 / 4), constantVector(dim, -1 / 4), draw);
    expect(low.mean).toBeCloseTo(1.99, 1);
    expect(high.mean).toBeGreaterThan(3.2);
    expect(Math.E - low.mean).toBeGreaterThan(10 * low.standardError);
    expect(high.mean - Math.E).toBeGreaterThan(6 * high.standardError);
    const near = estimates(5000, constantVector(dim, 1 / 8), constantVector(dim, 1 / 8), draw);
    expect(near.mean / Math.exp(1 / 4)).toBeLessThan(0.9); // far outside the 2 % above
  });

  it('every component of a direction has mean 0 and variance 1/dim, wherever its row stands', () => {
    const draws = 4000;
    const sums = new Float64Array(dim * dim);
    const squares = new Float64Array(dim * dim);
    for (let at = 0; at < draws; at++) {
      drawProjection(Random.fromSeed(2).split(at), dim, dim, { kind: 'orthogonal', rowNorm: 'root' }).data.forEach(
        (value, index) => {
          sums[index]! += value / draws;
          squares[index]! += value ** 2 / draws;
        },
      );
    }
    // Of norm √dim, a component has variance 1; the largest of 256 means lies within 4.5 standard errors.
    for (const value of sums) expect(Math.abs(value)).toBeLessThan(4.5 / Math.sqrt(draws));
    for (const value of squares) expect(Math.abs(value - 1)).toBeLessThan(4.5 * Math.sqrt(2 / draws));
  });
});

describe('the rows of a projection', () => {
  const dim = 16;
  const count = 40; // two whole blocks and half a one

  it.each(['chi', 'root'] as const)('are orthogonal within each block, of which the last is cut (%s)', (rowNorm) => {
    const rows = rowsOf(drawProjection(Random.fromSeed(5), count, dim, { kind: 'orthogonal', rowNorm }));
    expect(rows).toHaveLength(count);
    for (let a = 0; a < count; a++) {
      for (let b = 0; b < a; b++) {
        if (Math.floor(a / dim) !== Math.floor(b / dim)) continue;
        expect(Math.abs(dot(rows[a]!, rows[b]!)) / (norm(rows[a]!) * norm(rows[b]!))).toBeLessThan(1e-6);
      }
    }
  });

  it.each([
    [1, 64],
    [64, 64],
    [65, 64],
    [256, 64],
    [3, 1],
  ])('are %i by %i when asked for, and finite', (rowCount, width) => {
    const projection = drawProjection(Random.fromSeed(6), rowCount, width);
    expect(projection.shape).toEqual([rowCount, width]);
    expect(projection.dtype).toBe('float32');
    expect(projection.data.every(Number.isFinite)).toBe(true);
  });

  it('begin alike when more of them are drawn', () => {
    const few = drawProjection(Random.fromSeed(8), 16, dim);
    const many = drawProjection(Random.fromSeed(8), 32, dim);
    expect(many.data.slice(0, few.data.length / 2).every((value) => Math.abs(value) < 10)).toBe(true);
    const direction = (x: HostTensor) => rowsOf(x).map((row) => row.map((value) => value / norm(row)));
    direction(few).forEach((row, at) => {
      row.forEach((value, i) => {
        expect(value).toBeCloseTo(direction(many)[at]![i]!, 6);
      });
    });
  });

  it.each(['orthogonal', 'iid'] as const)('have the lengths of normal vectors, chi(dim) (%s)', (kind) => {
    const random = Random.fromSeed(9);
    const draws = Array.from({ length: 500 }, (_, at) =>
      rowsOf(drawProjection(random.split(at), dim, dim, { kind, rowNorm: 'chi' })),
    );
    const lengths = draws.flat().map(norm);
    // mean √2 Γ(8.5)/Γ(8) for dim 16; the variance is dim − mean².
    const expected = (Math.SQRT2 * 14034.407293483413) / 5040;
    const variance = dim - expected ** 2;
    const error = Math.sqrt(variance / lengths.length);
    expect(Math.abs(mean(lengths) - expected)).toBeLessThan(4 * error);
    const found = mean(lengths.map((length) => (length - expected) ** 2));
    expect(Math.abs(found / variance - 1)).toBeLessThan(4 * Math.sqrt(2 / lengths.length));
    // Two rows of one draw have lengths of their own.
    const products = draws.map(([a, b]) => ((norm(a!) - expected) * (norm(b!) - expected)) / variance);
    expect(Math.abs(mean(products))).toBeLessThan(4 / Math.sqrt(products.length));
  });

  it.each(['orthogonal', 'iid'] as const)('are all √dim long with root norms (%s)', (kind) => {
    for (const row of rowsOf(drawProjection(Random.fromSeed(10), count, dim, { kind, rowNorm: 'root' }))) {
      expect(norm(row)).toBeCloseTo(4, 5);
    }
  });

  it.each([
    ['iid rows', 'iid', 1],
    ['orthogonal rows of different blocks', 'orthogonal', dim],
  ] as const)('%s are independent: the cosine between two has mean 0 and variance 1/dim', (_, kind, distance) => {
    const random = Random.fromSeed(12);
    const cosines = Array.from({ length: 2000 }, (_, at) => {
      const rows = rowsOf(drawProjection(random.split(at), dim + 1, dim, { kind, rowNorm: 'chi' }));
      return dot(rows[0]!, rows[distance]!) / (norm(rows[0]!) * norm(rows[distance]!));
    });
    const error = 1 / Math.sqrt(cosines.length);
    expect(Math.abs(mean(cosines))).toBeLessThan(4 * error * Math.sqrt(1 / dim));
    // cos² is Beta(½, (dim−1)/2): variance 2(dim−1)/(dim²(dim+2)).
    const spread = Math.sqrt((2 * (dim - 1)) / (dim ** 2 * (dim + 2)));
    expect(Math.abs(mean(cosines.map((cosine) => cosine ** 2)) - 1 / dim)).toBeLessThan(4 * error * spread);
  });
});

describe('the variance of the positive estimate', () => {
  const dim = 16;
  const count = 16;
  const pairs: Readonly<Record<string, readonly [Vector, Vector]>> = {
    'x = y, |z| = 1/2': [constantVector(dim, 1 / 16), constantVector(dim, 1 / 16)],
    'x and y apart, |z| = 1': [
      Float64Array.from({ length: dim }, (_, at) => (at === 0 ? 1 : at === 1 ? 0.5 : 0)),
      Float64Array.from({ length: dim }, (_, at) => (at === 0 ? -0.4 : at === 2 ? 0.6245 : 0)),
    ],
  };

  it.each(Object.entries(pairs))('is the closed form for iid rows and less for orthogonal ones (%s)', (_, [x, y]) => {
    const z = x.map((value, at) => value + y[at]!);
    const square = dot(z, z);
    const truth = Math.exp(dot(x, y));
    const closedForm = (Math.exp(square) * truth ** 2 * (1 - Math.exp(-square))) / count;
    const iid = estimates(20_000, x, y, ours(count, dim, { kind: 'iid', rowNorm: 'chi' }));
    expect(iid.squaredErrorError / iid.squaredError).toBeLessThan(0.03);
    expect(Math.abs(iid.squaredError - closedForm)).toBeLessThan(4 * iid.squaredErrorError);
    expect(Math.abs(iid.squaredError / closedForm - 1)).toBeLessThan(0.08);
    expect(Math.abs(iid.mean - truth)).toBeLessThan(4 * iid.standardError);

    const orthogonal = estimates(10_000, x, y, ours(count, dim));
    expect(Math.abs(orthogonal.mean - truth)).toBeLessThan(4 * orthogonal.standardError);
    // The gain that theory promises at least: 2(m−1)/(m(d+2))·(SM − e^{−(|x|²+|y|²)/2})².
    const gap = truth - Math.exp(-(dot(x, x) + dot(y, y)) / 2);
    const gain = ((2 * (count - 1)) / (count * (dim + 2))) * gap ** 2;
    expect(orthogonal.squaredError).toBeLessThan(closedForm - gain + 3 * orthogonal.squaredErrorError);
    expect(orthogonal.squaredError).toBeLessThan(iid.squaredError);
  });

  it('is lower still, and the mean too low, with root norms', () => {
    const x = constantVector(dim, 1 / 4);
    const root = estimates(5000, x, x, ours(count, dim, { kind: 'orthogonal', rowNorm: 'root' }));
    const relative = root.squaredError / Math.E ** 2;
    expect(root.mean / Math.E - 1).toBeCloseTo(-0.17, 1);
    expect(relative).toBeGreaterThan(0.25);
    expect(relative).toBeLessThan(0.45); // .35 against 2.95 with chi norms
  });
});

describe('the digest of projections', () => {
  const projections = [drawProjection(Random.fromSeed(1), 6, 4), drawProjection(Random.fromSeed(2), 6, 4)];
  const digest = projectionDigest(projections);

  it('is 16 hexadecimal digits, and the same for the same elements', () => {
    expect(digest).toMatch(/^[0-9a-f]{16}$/);
    expect(projectionDigest(projections)).toBe(digest);
    expect(projectionDigest(projections.map(({ shape, data }) => float32(shape, data.slice())))).toBe(digest);
  });

  it('reads elements that stand within a larger buffer', () => {
    const whole = new Float32Array(60);
    whole.set(projections[0]!.data, 7);
    const view = float32([6, 4], whole.subarray(7, 31));
    expect(projectionDigest([view, projections[1]!])).toBe(digest);
  });

  it('changes with any element, by however little, with the shape and with the order', () => {
    const seen = new Set([digest]);
    projections.forEach((projection, which) => {
      for (let at = 0; at < projection.data.length; at++) {
        const data = projection.data.slice();
        new Uint32Array(data.buffer)[at]! ^= 1; // the last bit
        seen.add(
          projectionDigest(projections.map((other, index) => (index === which ? float32([6, 4], data) : other))),
        );
      }
    });
    seen.add(projectionDigest([float32([4, 6], projections[0]!.data), projections[1]!]));
    seen.add(projectionDigest([...projections].reverse()));
    seen.add(projectionDigest(projections.slice(0, 1)));
    expect(seen.size).toBe(1 + 48 + 3);
  });
});

describe('drawing', () => {
  it('gives the same projection for the same seed and another for another', () => {
    const draw = (seed: number) => drawProjection(Random.fromSeed(seed), 256, 64).data;
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it('counts ⌈dim·ln dim⌉ features unless told otherwise, and at least one', () => {
    expect([1, 2, 16, 64, 128].map(defaultFeatureCount)).toEqual([1, 2, 45, 267, 622]);
    for (const dim of [0, -1, 1.5, Number.NaN])
      expect(() => defaultFeatureCount(dim)).toThrow(/positive integer as dim/);
  });

  it.each([
    [0, 4],
    [-1, 4],
    [1.5, 4],
    [Number.NaN, 4],
    [4, 0],
    [4, 2.5],
    [Number.POSITIVE_INFINITY, 4],
  ])('refuses a projection of %d by %d', (count, dim) => {
    expect(() => drawProjection(Random.fromSeed(1), count, dim)).toThrow(PerformerError);
    expect(() => drawProjection(Random.fromSeed(1), count, dim)).toThrow(/positive integer/);
  });

  it.each([
    [2 ** 31, 4],
    [4, 2 ** 31],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ])('refuses a projection of %d by %d before it takes memory for it', (count, dim) => {
    const draws = [
      () => drawProjection(Random.fromSeed(1), count, dim),
      () => drawProjection(Random.fromSeed(1), count, dim, { kind: 'iid' }),
      () => drawSigns(Random.fromSeed(1), count * dim, 2 ** 14),
      () => drawCauchy(Random.fromSeed(1), count * dim, 2 ** 14),
    ];
    draws.push(() => drawProjection(Random.fromSeed(1), 1, 2 ** 15, { kind: 'simplex' }));
    for (const draw of draws) expect(draw).toThrow(/at most 268435456 entries|positive integer/);
    for (const draw of draws) expect(draw).toThrow(PerformerError);
  });
});

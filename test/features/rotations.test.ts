/** The geometry of random directions: orthonormal to float64, simplex corners, and how nearly uniform they are. */
import { describe, expect, it } from 'vitest';
import { PerformerError, Random } from '../../src/base/index.js';
import { drawProjection, drawSigns, projectionKinds } from '../../src/features/index.js';
import { arrangeDirections, type RotationKind } from '../../src/features/rotations.js';

function draw(kind: RotationKind, dim: number, seed = 1): Float64Array[] {
  const random = Random.fromSeed(seed).split(kind).split(dim);
  const rows = Array.from({ length: dim }, (_, row) => random.split('normals').split(row).normals(dim));
  arrangeDirections(kind, rows, random);
  return rows;
}

function dot(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < left.length; i++) total += left[i]! * right[i]!;
  return total;
}

const sizes = [1, 2, 3, 7, 8, 16, 64, 100];
const isPower = (dim: number) => Number.isInteger(Math.log2(dim));

describe.each(['orthogonal', 'structured', 'givens'] as const)('%s rows', (kind) => {
  it.each(kind === 'structured' ? sizes.filter(isPower) : sizes)('of dim %d are orthonormal to 1e-12', (dim) => {
    const rows = draw(kind, dim);
    rows.forEach((a, i) => {
      rows.slice(0, i + 1).forEach((b, j) => {
        expect(Math.abs(dot(a, b) - Number(i === j))).toBeLessThan(1e-12);
      });
    });
  });

  it('come with both determinants and both signs of every component', () => {
    const firsts = Array.from({ length: 40 }, (_, seed) => Math.round(draw(kind, 1, seed)[0]![0]! * 2 ** 40) / 2 ** 40);
    expect(new Set(firsts)).toEqual(new Set([1, -1]));
    const determinants = Array.from({ length: 40 }, (_, seed) => {
      const [[a, b], [c, d]] = draw(kind, 2, seed) as unknown as [[number, number], [number, number]];
      return Math.sign(a * d - b * c);
    });
    expect(new Set(determinants)).toEqual(new Set([1, -1]));
  });
});

describe('simplex rows', () => {
  it.each(sizes.filter((dim) => dim > 1))('of dim %d are unit vectors that all meet at −1/(dim − 1)', (dim) => {
    const rows = draw('simplex', dim);
    rows.forEach((a, i) => {
      rows.slice(0, i + 1).forEach((b, j) => {
        expect(Math.abs(dot(a, b) - (i === j ? 1 : -1 / (dim - 1)))).toBeLessThan(1e-12);
      });
    });
    for (let i = 0; i < dim; i++) expect(Math.abs(rows.reduce((total, row) => total + row[i]!, 0))).toBeLessThan(1e-12);
  });

  it('of dim 1 are ±1', () => {
    const rows = Array.from(
      { length: 40 },
      (_, seed) => Math.round(draw('simplex', 1, seed)[0]![0]! * 2 ** 40) / 2 ** 40,
    );
    expect(new Set(rows)).toEqual(new Set([1, -1]));
  });
});

describe('the components of a direction', () => {
  const dim = 8;
  const draws = 4000;

  /** The mean, the mean square and the mean fourth power of √dim·(a·u), over draws and rows, and the largest third. */
  function powers(kind: RotationKind, u: readonly number[]) {
    const totals = new Float64Array(4);
    const random = Random.fromSeed(3).split(kind);
    for (let at = 0; at < draws; at++) {
      const { data } = drawProjection(random.split(at), dim, dim, { kind, rowNorm: 'root' });
      for (let row = 0; row < dim; row++) {
        const value = dot(data.subarray(row * dim, (row + 1) * dim), u); // of length √dim
        for (let power = 0; power < 4; power++) totals[power]! += value ** (power + 1) / (draws * dim);
      }
    }
    return totals;
  }

  const axis = [1, 0, 0, 0, 0, 0, 0, 0];
  const diagonal = new Array<number>(dim).fill(dim ** -0.5);
  /** Of a uniform direction: E[(√d a)⁴] = 3d/(d + 2). */
  const fourth = (3 * dim) / (dim + 2);

  // Rows of one block are dependent: a block counts as one draw in the errors.
  it.each([
    ['orthogonal', axis, 0],
    ['givens', axis, 0],
    ['givens', diagonal, 0],
    ['simplex', diagonal, 0],
    ['structured', axis, 0.15],
    ['structured', diagonal, 0.15],
  ] as const)('are uniform to the fourth moment: %s', (kind, u, bias) => {
    const [mean, square, cube, four] = powers(kind, u) as unknown as [number, number, number, number];
    const error = 4 / Math.sqrt(draws);
    expect(Math.abs(mean)).toBeLessThan(error);
    expect(Math.abs(square - 1)).toBeLessThan(error);
    expect(Math.abs(cube)).toBeLessThan(4 * error);
    expect(Math.abs(four - fourth)).toBeLessThan(2 * error + bias);
  });
});

describe('a projection', () => {
  it.each(projectionKinds)('of one column and one row, or many, is finite (%s)', (kind) => {
    for (const rowNorm of ['chi', 'root'] as const) {
      for (const count of [1, 5]) {
        const { shape, data } = drawProjection(Random.fromSeed(4), count, 1, { kind, rowNorm });
        expect(shape).toEqual([count, 1]);
        expect(data.every(Number.isFinite)).toBe(true);
        if (rowNorm === 'root') expect([...data].every((value) => Math.abs(value) === 1)).toBe(true);
      }
    }
  });

  it.each(['orthogonal', 'structured', 'givens', 'simplex'] as const)(
    'of %s rows has their lengths as asked for',
    (kind) => {
      const dim = 16;
      const lengths = (rowNorm: 'chi' | 'root') => {
        const { data } = drawProjection(Random.fromSeed(5), 4000, dim, { kind, rowNorm });
        return Array.from({ length: 4000 }, (_, row) => {
          const vector = data.subarray(row * dim, (row + 1) * dim);
          return dot(vector, vector);
        });
      };
      for (const square of lengths('root')) expect(square).toBeCloseTo(dim, 4);
      const squares = lengths('chi'); // χ²(16): mean 16, variance 32, fourth central moment 12·16·(16 + 4)
      const mean = squares.reduce((a, b) => a + b) / squares.length;
      const variance = squares.reduce((a, b) => a + (b - mean) ** 2, 0) / squares.length;
      expect(Math.abs(mean - dim)).toBeLessThan(4 * Math.sqrt((2 * dim) / 4000));
      expect(Math.abs(variance - 2 * dim)).toBeLessThan(4 * Math.sqrt((12 * dim * (dim + 4) - 4 * dim ** 2) / 4000));
    },
  );

  it.each([3, 12, 100])('of structured rows of dim %d is refused', (dim) => {
    const run = () => drawProjection(Random.fromSeed(6), 4, dim, { kind: 'structured', rowNorm: 'chi' });
    expect(run).toThrow(PerformerError);
    expect(run).toThrow(/power of two/);
  });
});

describe('random signs', () => {
  it('are ±1, half of each', () => {
    const { shape, data } = drawSigns(Random.fromSeed(7), 100, 100);
    expect(shape).toEqual([100, 100]);
    expect(data.every((sign) => sign === 1 || sign === -1)).toBe(true);
    expect(Math.abs(data.reduce((a, b) => a + b))).toBeLessThan(4 * 100);
  });

  it.each([
    [0, 4],
    [4, 1.5],
  ])('are refused as %d by %d', (rows, columns) => {
    expect(() => drawSigns(Random.fromSeed(7), rows, columns)).toThrow(/positive integer/);
  });
});

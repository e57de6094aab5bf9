/** Shapes from moments: the identities that keep the estimate unbiased, and that the curvature is the one of least variance. */
import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, PerformerError } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import {
  curvatureOf,
  type FeatureShape,
  neutralShape,
  type RowMoments,
  rowMoments,
  shapeFromMoments,
  shapeMethods,
} from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import { anisotropicRows, momentsOf } from '../support/anisotropic.js';
import { maskOf } from '../support/attention-inputs.js';
import { runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { dot, logSecondMoment, mean, type PlainShape, plainShape, type Vector } from '../support/estimates.js';

const dim = 16;
const rows = anisotropicRows(dim, 0.6, 60);
const moments = momentsOf(rows);
const scaled = (side: readonly Vector[]) => side.map((row) => row.map((value) => value * dim ** -0.25));
const [queries, keys] = [scaled(rows.query), scaled(rows.key)];
const shapes = Object.fromEntries(shapeMethods.map((method) => [method, shapeFromMoments(method, moments)])) as Record<
  (typeof shapeMethods)[number],
  FeatureShape<HostTensor>
>;
const neutral = neutralShape(1, dim);

/** The mean over pairs of rows of f(log E[estimate²], log of the kernel). */
function meanOver({ query, key, curvature }: PlainShape, f: (logSquare: number, logKernel: number) => number): number {
  const [lefts, rights] = [queries.map(query), keys.map(key)];
  const perRow = lefts.map((left, i) =>
    mean(rights.map((right, j) => f(logSecondMoment(curvature, left, right), dot(queries[i]!, keys[j]!)))),
  );
  return mean(perRow);
}

const meanLog = (shape: PlainShape) => meanOver(shape, (logSquare) => logSquare);

/** The mean of the variance of one iid row over the squared kernel. */
const relativeVariance = (shape: PlainShape) =>
  meanOver(shape, (logSquare, logKernel) => Math.exp(logSquare - 2 * logKernel) - 1);

/** AᵀB of [dim, dim] */
function product(a: HostTensor, b: HostTensor): number[] {
  return Array.from({ length: dim * dim }, (_, at) => {
    let total = 0;
    for (let k = 0; k < dim; k++)
      total += Number(a.data[k * dim + Math.floor(at / dim)]) * Number(b.data[k * dim + (at % dim)]);
    return total;
  });
}

function expectIdentity(matrix: readonly number[], tolerance: number): void {
  matrix.forEach((value, at) => {
    const expected = Number(Math.floor(at / dim) === at % dim);
    expect(Math.abs(value - expected)).toBeLessThan(tolerance);
  });
}

describe.each(shapeMethods)('the shape of %s', (method) => {
  const shape = shapes[method];

  it('has T_qᵀT_k = I, so that T_q q · T_k k = q·k', () => {
    // Entries of T are float32, up to some tens in the directions where queries and keys differ most.
    expectIdentity(product(shape.query, shape.key), 1e-4);
  });

  it('has a curvature below 0', () => {
    expect(shape.curvature.data.every((a) => a < 0 && Number.isFinite(a))).toBe(true);
  });

  it('has the curvature of the least mean log-variance, of all near it', () => {
    const plain = plainShape(shape);
    const least = meanLog(plain);
    const changed = (change: (a: number, l: number) => number) =>
      meanLog({ ...plain, curvature: plain.curvature.map(change) });
    for (const factor of [0.7, 0.95, 1.05, 1.4]) {
      expect(changed((a) => a * factor)).toBeGreaterThan(least);
      // ADERF and OPRF have one a for all directions, SDERF the best for each.
      if (method !== 'sderf') continue;
      for (let one = 0; one < dim; one++) {
        expect(
          changed((a, l) => (l === one ? a * factor : a)),
          `direction ${one}`,
        ).toBeGreaterThan(least);
      }
    }
  });
});

describe('shapes', () => {
  it('of SDERF turn: T_q = T_k, orthogonal', () => {
    expect(shapes.sderf.query.data).toEqual(shapes.sderf.key.data);
    expectIdentity(product(shapes.sderf.query, shapes.sderf.query), 1e-6);
  });

  it('of OPRF do not turn, and those of ADERF do more than turn', () => {
    expect(shapes.oprf.query.data).toEqual(neutral.query.data);
    const square = product(shapes.aderf.query, shapes.aderf.query);
    expect(square.some((value, at) => Math.abs(value - Number(Math.floor(at / dim) === at % dim)) > 0.1)).toBe(true);
  });

  it('lower the variance on rows that are not alike in all directions: SM+ > OPRF ≥ SDERF > ADERF', () => {
    const [plain, oprf, sderf, aderf] = [neutral, shapes.oprf, shapes.sderf, shapes.aderf].map((shape) =>
      relativeVariance(plainShape(shape)),
    ) as [number, number, number, number];
    expect(plain).toBeGreaterThan(4 * oprf);
    expect(oprf).toBeGreaterThanOrEqual(sderf);
    expect(sderf).toBeGreaterThan(1.5 * aderf);
  });

  it('of rows that vary in a few directions only, or not at all, are finite', () => {
    const one = (row: Vector) => row.map((value, at) => (at < 2 ? value : 0));
    const flat = momentsOf({ query: rows.query.map(one), key: rows.key.map(one) });
    const none = momentsOf({ query: [new Array(dim).fill(0)], key: [new Array(dim).fill(0)] });
    for (const method of shapeMethods) {
      for (const degenerate of [flat, none]) {
        const shape = shapeFromMoments(method, degenerate);
        expect([shape.query, shape.key, shape.curvature].every(({ data }) => data.every(Number.isFinite))).toBe(true);
        expectIdentity(product(shape.query, shape.key), 1e-4);
      }
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuse moments of %d', (value) => {
    const broken = { ...moments.query, mean: float32([1, dim], new Float32Array(dim).fill(value)) };
    expect(() => shapeFromMoments('oprf', { ...moments, query: broken })).toThrow(PerformerError);
    expect(() => shapeFromMoments('oprf', { ...moments, query: broken })).toThrow(/finite/);
  });
});

describe('the curvature', () => {
  it('is 0 at 0, so that features are SM+ where there is nothing to shape, and falls from there', () => {
    expect(curvatureOf(0)).toBe(0);
    const values = [0, 0.01, 0.1, 1, 10, 100].map(curvatureOf);
    values.slice(1).forEach((value, at) => {
      expect(value).toBeLessThan(values[at]!);
    });
  });

  it('solves d/da [log(1 − 4a) − ½ log(1 − 8a) + 2λ(1 − 4a)/(1 − 8a)] = 0', () => {
    for (const lambda of [0.05, 0.5, 3]) {
      const a = curvatureOf(lambda);
      const slope = -4 / (1 - 4 * a) + 4 / (1 - 8 * a) + (8 * lambda) / (1 - 8 * a) ** 2;
      expect(Math.abs(slope)).toBeLessThan(1e-12);
    }
  });
});

describe('the moments of rows in the graph', () => {
  const [batch, length, heads, width] = [3, 5, 2, 4];
  const x = normal('x', [batch, length, heads, width]);
  const keyMask = maskOf(batch, length, (item, position) => position < 5 - 2 * item);

  it.each([
    ['all rows', undefined],
    ['the rows that a mask shows', keyMask],
  ])('are the means of x and xxᵀ over %s, x scaled by dim^(−1/4)', async (_, mask) => {
    const build = ({ x: given, mask: shown }: { x: Tensor; mask?: Tensor<'bool'> }) => rowMoments(given, shown);
    const found = (await runOnce(
      referenceEngine(),
      build as never,
      mask === undefined ? { x } : { x, mask },
    )) as unknown as RowMoments<HostTensor>;
    for (let head = 0; head < heads; head++) {
      const kept: Vector[] = [];
      for (let at = 0; at < batch * length; at++) {
        if (mask?.data[at] === 0) continue;
        const start = (at * heads + head) * width;
        kept.push(Array.from(x.data.slice(start, start + width), (value) => value * width ** -0.25));
      }
      expect(kept).toHaveLength(mask === undefined ? 15 : 5 + 3 + 1);
      for (let i = 0; i < width; i++) {
        expect(Number(found.mean.data[head * width + i])).toBeCloseTo(mean(kept.map((row) => row[i]!)), 12);
        for (let j = 0; j < width; j++) {
          const expected = mean(kept.map((row) => row[i]! * row[j]!));
          expect(Number(found.second.data[(head * width + i) * width + j])).toBeCloseTo(expected, 12);
        }
      }
    }
  });

  it('are zeros where a mask shows nothing', async () => {
    const mask = maskOf(batch, length, () => false);
    const build = ({ x: given, mask: shown }: { x: Tensor; mask: Tensor<'bool'> }) => rowMoments(given, shown);
    const found = (await runOnce(referenceEngine(), build as never, { x, mask })) as unknown as RowMoments<HostTensor>;
    expect([...found.mean.data, ...found.second.data].every((value) => Number(value) === 0)).toBe(true);
  });
});

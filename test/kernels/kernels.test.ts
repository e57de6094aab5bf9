/** Kernels: the matrix in a graph equals the host's float64, known values, gradients, expansions and their bounds. */
import { describe, expect, it, test } from 'vitest';
import { type AnyHostTensor, type HostTensor, PerformerError, Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  drawCauchy,
  estimatedKernel,
  expansionFeatures,
  explicitFeatures,
  laplacianFeatures,
  trigonometricFeatures,
} from '../../src/features/index.js';
import { drawProjection } from '../../src/features/projection.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import {
  arcCosineKernel,
  gaussianKernel,
  type Kernel,
  laplacianKernel,
  linearKernel,
  polynomialKernel,
  softmaxKernel,
} from '../../src/kernels/index.js';
import { rowsOf } from '../support/attention-oracle.js';
import { runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { values } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const dim = 5;
const [n, m] = [7, 6];
const kernels: readonly (readonly [string, Kernel])[] = [
  ['softmax', softmaxKernel()],
  ['softmax of scale 0.3', softmaxKernel({ scale: 0.3 })],
  ['gaussian', gaussianKernel({ gamma: 0.7 })],
  ['polynomial', polynomialKernel({ degree: 3, offset: 0.5 })],
  ['linear', linearKernel()],
  ['arc-cosine 0', arcCosineKernel({ degree: 0 })],
  ['arc-cosine 1', arcCosineKernel({ degree: 1 })],
  ['laplacian', laplacianKernel({ gamma: 0.4 })],
];

/** Rows of [2, rows, dim] as vectors. */
function vectors(x: AnyHostTensor): Float64Array[] {
  return rowsOf({ ...x, shape: [x.data.length / dim, dim] } as HostTensor);
}

function hostMatrix(kernel: Kernel, x: AnyHostTensor, y: AnyHostTensor): number[] {
  const [left, right] = [vectors(x), vectors(y)];
  return [0, 1].flatMap((item) =>
    left
      .slice(item * n, (item + 1) * n)
      .flatMap((a) => right.slice(item * m, (item + 1) * m).map((b) => kernel.evaluate(a, b))),
  );
}

describe.each(kernels)('the %s kernel', (_, kernel) => {
  const x = normal('x', [2, n, dim]);
  const y = normal('y', [2, m, dim]);

  it.each([
    ['the oracle', oracle, 1e-12],
    ['ONNX Runtime', native, 2e-5],
  ] as const)('is the same for matrices on %s as for vectors on the host', async (_name, engine, tolerance) => {
    const build = (inputs: { x: Tensor; y: Tensor }) => ({
      matrix: kernel.matrix(inputs.x, inputs.y),
      log: kernel.logMatrix?.(inputs.x, inputs.y) ?? g.log(g.abs(kernel.matrix(inputs.x, inputs.y))),
      diagonal: kernel.diagonal(inputs.x),
    });
    const result = await runOnce(engine, build, { x, y });
    const expected = hostMatrix(kernel, x, y);
    expect(result.matrix.shape).toEqual([2, n, m]);
    values(result.matrix).forEach((value, at) => {
      expect(Math.abs(value - expected[at]!)).toBeLessThan(tolerance * (1 + Math.abs(expected[at]!)));
      if (kernel.logMatrix !== undefined) expect(Math.exp(values(result.log)[at]!)).toBeCloseTo(expected[at]!, 4);
    });
    // The angle of a vector with itself is only as exact as the root of the rounding of its cosine.
    const own = vectors(x).map((row) => kernel.evaluate(row, row));
    values(result.diagonal).forEach((value, at) => {
      expect(Math.abs(value - own[at]!)).toBeLessThan(Math.max(tolerance, 1e-7) * (1 + Math.abs(own[at]!)));
    });
  });

  it('has the gradient that finite differences give', async () => {
    const weights = normal('weights', [2, n, m]);
    const build = (inputs: { x: Tensor; y: Tensor; weights: Tensor }) => {
      const loss = g.sum(g.multiply(kernel.matrix(inputs.x, inputs.y), inputs.weights));
      return g.gradient(loss, { x: inputs.x, y: inputs.y });
    };
    const found = await runOnce(oracle, build, { x, y, weights });
    const loss = (a: AnyHostTensor, b: AnyHostTensor) =>
      hostMatrix(kernel, a, b).reduce((total, value, at) => total + value * weights.data[at]!, 0);
    for (const [side, at] of [
      ['x', 3],
      ['x', 41],
      ['y', 0],
      ['y', 38],
    ] as const) {
      const moved = (by: number) => {
        const input = side === 'x' ? x : y;
        const data = Float64Array.from(input.data);
        data[at]! += by;
        const changed: AnyHostTensor = { dtype: 'float64', shape: input.shape, data };
        return side === 'x' ? loss(changed, y) : loss(x, changed);
      };
      const difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      expect(values(found[side])[at]!).toBeCloseTo(difference, 5);
    }
  });
});

describe('known values', () => {
  const root = Math.SQRT1_2;
  test.each([
    ['softmax', softmaxKernel(), Math.exp(0.5)], // 1·1/√4 with dim 4
    ['softmax of scale 2', softmaxKernel({ scale: 2 }), Math.exp(2)],
    ['gaussian', gaussianKernel({ gamma: 2 }), Math.exp(-2)],
    ['polynomial', polynomialKernel({ degree: 2, offset: 3, scale: 1 }), 16],
    ['linear', linearKernel({ scale: 1 }), 1],
    ['laplacian', laplacianKernel({ gamma: 0.5 }), Math.exp(-0.5)],
    ['arc-cosine 0 at 45°', arcCosineKernel({ degree: 0 }), 0.75],
    ['arc-cosine 1 at 45°', arcCosineKernel({ degree: 1, scale: 1 }), (1 + (3 * Math.PI) / 4) / Math.PI],
  ] as const)('%s', (_, kernel, expected) => {
    // |x − y|² = |x − y|₁ = 1, x·y = 1, |x||y| = √2, an angle of 45°
    expect(kernel.evaluate([1, 0, 0, 0], [1, 1, 0, 0])).toBeCloseTo(expected, 12);
  });

  it('arc-cosine kernels are 1 and |x|² of a vector with itself, and 0 of opposite ones', () => {
    const x = [0.6, -1.7, 0.2];
    const opposite = x.map((value) => -value);
    expect(arcCosineKernel({ degree: 0 }).evaluate(x, x)).toBeCloseTo(1, 7);
    expect(arcCosineKernel({ degree: 0 }).evaluate(x, opposite)).toBeCloseTo(0, 7);
    const first = arcCosineKernel({ degree: 1, scale: 1 });
    expect(first.evaluate(x, x)).toBeCloseTo(0.36 + 2.89 + 0.04, 10);
    expect(first.evaluate(x, opposite)).toBeCloseTo(0, 10);
    expect(root).toBeCloseTo(Math.cos(Math.PI / 4), 12);
  });

  it('a Gaussian kernel of equal rows of large norm is 1 at most, and its gradient is finite', async () => {
    const x = normal('x', [4, dim], 300);
    const kernel = gaussianKernel({ gamma: 1 });
    const build = (inputs: { x: Tensor }) => {
      const matrix = kernel.matrix(inputs.x, inputs.x);
      return { matrix, gradient: g.gradient(g.sum(matrix), { x: inputs.x }).x };
    };
    const { matrix, gradient } = await runOnce(native, build, { x });
    expect(Math.max(...values(matrix))).toBeLessThanOrEqual(1);
    expect(values(gradient).every(Number.isFinite)).toBe(true);
  });

  it.each([0, 1] as const)('arc-cosine %d of a row with itself and of zeros has a finite gradient', async (degree) => {
    const x: HostTensor = { dtype: 'float32', shape: [2, 3], data: Float32Array.of(1, 2, 3, 0, 0, 0) };
    const build = (inputs: { x: Tensor }) => {
      const matrix = arcCosineKernel({ degree }).matrix(inputs.x, inputs.x);
      return g.gradient(g.sum(matrix), { x: inputs.x }).x;
    };
    const gradient = await runOnce(native, build, { x });
    expect(values(gradient as unknown as HostTensor).every(Number.isFinite)).toBe(true);
  });
});

describe('Taylor expansions', () => {
  const x = normal('x', [2, n, dim], 0.8);
  const y = normal('y', [2, m, dim], 0.8);
  const expanded = kernels.filter(([, kernel]) => kernel.taylor !== undefined);

  it('exist for all kernels but the Laplacian', () => {
    expect(kernels.filter(([, { taylor }]) => taylor === undefined).map(([name]) => name)).toEqual(['laplacian']);
  });

  describe.each(expanded)('of the %s kernel', (_, kernel) => {
    it.each([0, 1, 2, 3, 5])('to degree %d stay within their bound, which is not vacuous', (degree) => {
      const expansion = kernel.taylor!(degree);
      let [largestError, largestBound, tightest] = [0, 0, Number.POSITIVE_INFINITY];
      for (const a of vectors(x)) {
        for (const b of vectors(y)) {
          const error = Math.abs(kernel.evaluate(a, b) - expansion.evaluate(a, b));
          const bound = expansion.remainderBound(a, b);
          expect(error).toBeLessThanOrEqual(bound * (1 + 1e-9) + 1e-13);
          largestError = Math.max(largestError, error);
          largestBound = Math.max(largestBound, bound);
          if (error > 1e-9) tightest = Math.min(tightest, bound / error);
        }
      }
      // Somewhere the bound is close to the error: within a factor of 3.
      if (largestError > 1e-9) expect(tightest).toBeLessThan(3);
      else expect(largestBound).toBeLessThan(1e-9);
    });

    it('are the product of their monomial features', async () => {
      const expansion = kernel.taylor!(3);
      const map = expansionFeatures(expansion, dim);
      const build = (inputs: { x: Tensor; y: Tensor }) => ({
        products: estimatedKernel(map, inputs.x, inputs.y),
        features: explicitFeatures(map.query(inputs.x)),
      });
      const { products, features } = await runOnce(oracle, build, { x, y });
      expect(features.shape).toEqual([2, n, map.featureCount]);
      const [left, right] = [vectors(x), vectors(y)];
      values(products).forEach((value, at) => {
        const [row, column] = [Math.floor(at / m), (at % m) + m * Math.floor(at / (n * m))];
        expect(value).toBeCloseTo(expansion.evaluate(left[row]!, right[column]!), 10);
      });
    });
  });

  it('get better with each degree, and the softmax kernel needs C(dim + degree, degree) monomials', () => {
    const [a, b] = [vectors(x)[0]!, vectors(y)[0]!];
    const errors = [0, 2, 4, 8].map((degree) => softmaxKernel({ scale: 1 }).taylor!(degree).remainderBound(a, b));
    expect(errors).toEqual([...errors].sort((p, q) => q - p));
    expect(softmaxKernel().taylor!(3).featureCount(4)).toBe(35);
    expect(arcCosineKernel({ degree: 1 }).taylor!(3).featureCount(4)).toBe(1 + 4 + 10);
  });
});

describe('random features', () => {
  it('of the Laplacian and of the Gaussian kernel have these as their mean, for any γ', async () => {
    const count = 20_000;
    const x = normal('x', [n, dim], 0.6);
    const y = normal('y', [m, dim], 0.6);
    const cauchy = drawCauchy(Random.fromSeed(1), count, dim);
    const gaussian = drawProjection(Random.fromSeed(2), count, dim, { kind: 'iid', rowNorm: 'chi' });
    const build = (inputs: { x: Tensor; y: Tensor; cauchy: Tensor; gaussian: Tensor }) => ({
      laplacian: estimatedKernel(laplacianFeatures(inputs.cauchy, { gamma: 0.3 }), inputs.x, inputs.y),
      gaussian: estimatedKernel(trigonometricFeatures(inputs.gaussian, { gamma: 1.4 }), inputs.x, inputs.y),
    });
    const found = await runOnce(native, build, { x, y, cauchy, gaussian });
    const exact = { laplacian: laplacianKernel({ gamma: 0.3 }), gaussian: gaussianKernel({ gamma: 1.4 }) };
    for (const name of ['laplacian', 'gaussian'] as const) {
      values(found[name]).forEach((value, at) => {
        const expected = exact[name].evaluate(vectors(x)[Math.floor(at / m)]!, vectors(y)[at % m]!);
        // An estimate is a mean of `count` cosines, whose deviation is at most 1/√2.
        expect(Math.abs(value - expected)).toBeLessThan((4.5 * Math.SQRT1_2) / Math.sqrt(count));
      });
    }
  });
});

describe('what does not make sense is refused', () => {
  test.each([
    ['a gamma of 0', () => gaussianKernel({ gamma: 0 }), /gamma above 0, got 0/],
    ['a gamma of NaN', () => gaussianKernel({ gamma: Number.NaN }), /got NaN/],
    ['an infinite gamma', () => laplacianKernel({ gamma: Number.POSITIVE_INFINITY }), /got Infinity/],
    ['a degree of 0', () => polynomialKernel({ degree: 0 }), /degree of 1 or more, got 0/],
    ['half a degree', () => polynomialKernel({ degree: 1.5 }), /got 1\.5/],
    ['a negative offset', () => polynomialKernel({ degree: 2, offset: -1 }), /offset of 0 or more, got -1/],
    ['a scale of NaN', () => softmaxKernel({ scale: Number.NaN }), /scale above 0, got NaN/],
    ['degree 2 of arc-cosine', () => arcCosineKernel({ degree: 2 as 1 }), /degree 0 or 1, got 2/],
    ['a scale of arc-cosine 0', () => arcCosineKernel({ degree: 0, scale: 1 }), /no scale/],
    ['an expansion to degree −1', () => softmaxKernel().taylor!(-1), /degree of 0 or more, got -1/],
    [
      'a NaN gamma of Laplacian features',
      () => laplacianFeatures(g.input('w', 'float32', [2, 2]), { gamma: Number.NaN }),
      /gamma > 0/,
    ],
    [
      'too many monomials',
      () => softmaxKernel().taylor!(6).features(g.input('x', 'float32', [1, 64])),
      /at most 65536 monomials/,
    ],
    ['vectors of two lengths', () => gaussianKernel({ gamma: 1 }).evaluate([1], [1, 2]), /one length, got 1 and 2/],
  ])('%s', (_, act, message) => {
    expect(act).toThrow(PerformerError);
    expect(act).toThrow(message);
  });
});

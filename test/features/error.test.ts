/** The closed forms of bias and mean squared error, each against draws enough that an error of 2 % would fail. */
import { describe, expect, it, test } from 'vitest';
import { float32, type HostTensor, PerformerError, Random } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  curvatureOf,
  drawProjection,
  drawSigns,
  effectiveRank,
  type FeatureMapOptions,
  type FeatureShape,
  kernelError,
  measureKernelError,
  neutralShape,
  orthogonalErrorBound,
  type ProjectionKind,
} from '../../src/features/index.js';
import { projectionLaw } from '../../src/features/projection-law.js';
import { orthogonalPairCosine, sphereCosine } from '../../src/features/sphere.js';

const dim = 4;
/** Independent estimates of each test. */
const draws = 150_000;
const x = [0.45, -0.25, 0.15, 0.2];
const y = [0.25, 0.2, -0.35, 0.3];
const scale = dim ** -0.25;

type Vector = ArrayLike<number>;

function dot(a: Vector, b: Vector): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

const scaled = (v: Vector, by = scale) => Float64Array.from(v, (value) => value * by);

/** Many projections of `rows` rows, flat and of whole blocks each, so that all are independent. */
const projections = new Map<string, Float32Array>();
function rowsFor(kind: ProjectionKind, rowNorm: 'chi' | 'root', rows: number): { data: Float32Array; stride: number } {
  const name = `${kind} ${rowNorm}`;
  const data = projections.get(name) ?? drawProjection(Random.fromSeed(11), dim * draws, dim, { kind, rowNorm }).data;
  projections.set(name, data);
  return { data, stride: kind === 'iid' ? rows : Math.ceil(rows / dim) * dim };
}

/** Mean and mean squared error against `kernel` of means of g over rows. */
function simulate(
  { data, stride }: { data: Float32Array; stride: number },
  rows: number,
  kernel: number,
  g: (row: Float32Array) => number,
  width = dim,
): { mean: number; meanDeviation: number; meanSquaredError: number } {
  const repeats = Math.floor(data.length / (stride * width));
  let [total, squares, errors] = [0, 0, 0];
  for (let draw = 0; draw < repeats; draw++) {
    let estimate = 0;
    for (let row = 0; row < rows; row++) {
      const start = (draw * stride + row) * width;
      estimate += g(data.subarray(start, start + width)) / rows;
    }
    total += estimate;
    squares += estimate ** 2;
    errors += (estimate - kernel) ** 2;
  }
  const mean = total / repeats;
  const meanDeviation = Math.sqrt((squares / repeats - mean ** 2) / repeats);
  return { mean, meanDeviation, meanSquaredError: errors / repeats };
}

function optionsOf(
  name: FeatureMapOptions['name'],
  featureCount: number,
  projectionKind: ProjectionKind = 'iid',
  rowNorm: 'chi' | 'root' = 'chi',
): FeatureMapOptions {
  return { name, headDim: dim, featureCount, projectionKind, rowNorm };
}

/** Holds a simulation against the closed form: the mean within 4.5 deviations, the mean squared error within 2 %. */
function expectAgreement(
  found: ReturnType<typeof simulate>,
  told: ReturnType<typeof kernelError>,
  tolerance = 0.02,
): void {
  expect(Math.abs(found.mean - (told.kernel + told.bias))).toBeLessThan(4.5 * found.meanDeviation);
  expect(found.meanSquaredError / told.meanSquaredError).toBeGreaterThan(1 - tolerance);
  expect(found.meanSquaredError / told.meanSquaredError).toBeLessThan(1 + tolerance);
}

const a = scaled(x);
const b = scaled(y);
const front = (dot(a, a) + dot(b, b)) / 2;
const sum = a.map((value, i) => value + b[i]!);
const difference = a.map((value, i) => value - b[i]!);
/** The product of the features of one row. */
const products = {
  positive: (row: Vector) => Math.exp(dot(row, sum) - front),
  hyperbolic: (row: Vector) => Math.cosh(dot(row, sum)) * Math.exp(-front),
  trigonometric: (row: Vector) => Math.cos(dot(row, difference)) * Math.exp(front),
  exponential: (row: Vector) => Math.exp(dot(row, sum)),
};

describe.each(['positive', 'hyperbolic', 'trigonometric'] as const)('the error of %s features', (name) => {
  const perRow = name === 'positive' ? 1 : 2;
  const laws = [
    ['iid', 'chi', 4],
    ['iid', 'root', 4],
    ['orthogonal', 'chi', 4],
    ['orthogonal', 'chi', 6],
    ['orthogonal', 'root', 4],
    ['simplex', 'chi', 4],
    ['simplex', 'root', 4],
  ] as const;

  it.each(laws)('with %s rows of norm %s, %d of them, is what draws give', (kind, rowNorm, rows) => {
    const told = kernelError(optionsOf(name, rows * perRow, kind, rowNorm), x, y);
    expect(told.kernel).toBeCloseTo(Math.exp(dot(a, b)), 12);
    expectAgreement(simulate(rowsFor(kind, rowNorm, rows), rows, told.kernel, products[name]), told);
    if (rowNorm === 'root') expect(Math.abs(told.relativeBias)).toBeGreaterThan(0.001);
    else expect(told.bias).toBeCloseTo(0, 12);
  });

  it('of independent rows is the formula of the paper', () => {
    const told = kernelError(optionsOf(name, 6), x, y);
    const [z, delta] = [dot(sum, sum), dot(difference, difference)];
    const softmax = Math.exp(dot(a, b));
    const positive = (Math.exp(z) * softmax ** 2 * (1 - Math.exp(-z))) / (6 / perRow);
    const expected = {
      positive,
      hyperbolic: ((1 - Math.exp(-z)) / 2) * positive,
      trigonometric: (Math.exp(z) * softmax ** -2 * (1 - Math.exp(-delta)) ** 2) / 6,
    }[name];
    expect(told.meanSquaredError / expected).toBeCloseTo(1, 10);
  });

  it('of the Gaussian kernel is that of the softmax kernel, relative, for x·√(2γ)', () => {
    const gamma = 0.37;
    const options = optionsOf(name, 8, 'orthogonal');
    const told = kernelError(options, x, y, { gamma });
    const stretched = (v: Vector) => scaled(v, Math.sqrt(2 * gamma) / scale);
    const same = kernelError(options, stretched(x), stretched(y));
    expect(told.relativeVariance).toBeCloseTo(same.relativeVariance, 10);
    expect(told.kernel).toBeCloseTo(
      Math.exp(
        -gamma *
          dot(
            x.map((v, i) => v - y[i]!),
            x.map((v, i) => v - y[i]!),
          ),
      ),
      10,
    );
  });

  it('is zero or nearly so where nothing is left to estimate, and a number for large norms', () => {
    const opposite = name === 'trigonometric' ? x : x.map((value) => -value);
    expect(kernelError(optionsOf(name, 8, 'orthogonal'), x, opposite).relativeVariance).toBeLessThan(1e-12);
    const large = scaled(x, 20);
    const told = kernelError(optionsOf(name, 8, 'orthogonal'), large, scaled(y, 20));
    expect(told.relativeVariance).toBeGreaterThan(1e6);
    expect(Number.isFinite(told.relativeVariance)).toBe(true);
  });
});

describe('orthogonal rows', () => {
  it.each([1, 2, 4])(
    'of scale %d: the error lies at or below the bound of the paper, and that below independent rows',
    (times) => {
      for (const count of [2, 3, 4]) {
        const [p, q] = [scaled(x, times), scaled(y, times)];
        const bound = orthogonalErrorBound(count, p, q);
        const exact = kernelError(optionsOf('positive', count, 'orthogonal'), p, q).meanSquaredError;
        const independent = kernelError(optionsOf('positive', count), p, q).meanSquaredError;
        expect(exact).toBeLessThanOrEqual(bound);
        expect(bound).toBeLessThan(independent);
        const simplex = kernelError(optionsOf('positive', count, 'simplex'), p, q).meanSquaredError;
        expect(simplex).toBeLessThan(exact);
      }
    },
  );

  it('are independent of those of another block: with one row for each block nothing is gained', () => {
    const law = projectionLaw(dim, { kind: 'orthogonal', rowNorm: 'chi' });
    expect(law.pairShare(1)).toBe(0);
    expect(law.pairShare(4)).toBeCloseTo(12 / 16, 12);
    expect(law.pairShare(6)).toBeCloseTo((12 + 2) / 36, 12);
    expect(projectionLaw(dim, { kind: 'iid', rowNorm: 'chi' }).pairShare(6)).toBe(0);
  });
});

describe('expectations over directions', () => {
  test.each([1, 2, 3, 4, 7, 32])('in %d dims their cosine agrees with the Bessel series', (size) => {
    for (const s of [0, 0.7, 3]) {
      let [term, series] = [1, 0];
      for (let k = 0; k < 60; k++) {
        series += term;
        term *= -(s * s) / 4 / ((k + 1) * (size / 2 + k));
      }
      expect(sphereCosine(size, s)).toBeCloseTo(series, size === 3 ? 4 : 6);
    }
  });

  it('cosines of sums stay within 1 for any length', () => {
    for (const size of [2, 5, 64]) {
      for (const s of [0.1, 1, 5, 20, 100]) expect(Math.abs(orthogonalPairCosine(size, s))).toBeLessThanOrEqual(1);
    }
  });
});

describe('the error of shaped features', () => {
  const uniform = curvatureOf(0.4);
  const turn = (angle: number) => {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return [
      [c, -s, 0, 0],
      [s, c, 0, 0],
      [0, 0, c, s],
      [0, 0, -s, c],
    ];
  };
  const stretched = [0.7, 1.2, 0.9, 1.4];
  const shape = (query: number[][], key: number[][], curvature: number[]): FeatureShape<HostTensor> => ({
    query: float32([1, dim, dim], query.flat()),
    key: float32([1, dim, dim], key.flat()),
    curvature: float32([1, dim], curvature),
  });
  const identity = turn(0);
  const rotation = turn(0.6);
  const shapes = {
    oprf: shape(identity, identity, [uniform, uniform, uniform, uniform]),
    sderf: shape(rotation, rotation, [0.1, 0.5, 0.9, 0.3].map(curvatureOf)),
    aderf: shape(
      rotation.map((row, i) => row.map((value) => value * stretched[i]!)),
      rotation.map((row, i) => row.map((value) => value / stretched[i]!)),
      [uniform, uniform, uniform, uniform],
    ),
  };

  it.each([
    ['oprf', 'iid', 4],
    ['oprf', 'orthogonal', 4],
    ['oprf', 'simplex', 4],
    ['sderf', 'iid', 4],
    ['aderf', 'iid', 4],
    ['aderf', 'orthogonal', 4],
  ] as const)('%s with %s rows is what draws give', (name, kind, rows) => {
    const { query, key, curvature } = shapes[name];
    const multiply = ({ data }: HostTensor, v: Vector) =>
      Float64Array.from({ length: dim }, (_, row) =>
        dot((data as Float32Array).subarray(row * dim, (row + 1) * dim), v),
      );
    const [p, q] = [multiply(query, a), multiply(key, b)];
    const widening = Array.from(curvature.data as Float32Array, (value) => Math.sqrt(1 - 4 * value));
    const s = p.map((value, i) => (value + q[i]!) * widening[i]!);
    const constant = widening.reduce((total, value) => total + Math.log(value), -(dot(p, p) + dot(q, q)) / 2);
    const g = (row: Vector) => {
      const squares = Float64Array.from(row, (value) => 2 * value * value);
      return Math.exp(constant + dot(row, s) + dot(curvature.data as Float32Array, squares));
    };
    const told = kernelError(optionsOf(name, rows, kind), x, y, { shape: shapes[name] });
    expectAgreement(simulate(rowsFor(kind, 'chi', rows), rows, Math.exp(dot(a, b)), g), told);
  });

  it('oprf has the second moment of theorem 1 of FAVOR++, and beats positive features where they are bad', () => {
    const [p, q] = [scaled(x, 6), scaled(y, 6)];
    const z = 36 * dot(sum, sum);
    const A = Math.fround(uniform);
    const kernel = Math.exp(36 * dot(a, b));
    const second =
      (1 - 4 * A) ** dim * (1 - 8 * A) ** (-dim / 2) * Math.exp(((2 * (1 - 4 * A)) / (1 - 8 * A)) * z - 72 * front);
    const told = kernelError(optionsOf('oprf', 1), p, q, { shape: shapes.oprf });
    expect((told.variance + kernel ** 2) / second).toBeCloseTo(1, 8);
    expect(told.variance).toBeLessThan(kernelError(optionsOf('positive', 1), p, q).variance);
  });
});

describe('the error of maps of other kernels', () => {
  it('relu and step, with their ε, is what draws give', () => {
    for (const name of ['relu', 'step'] as const) {
      for (const kernelEpsilon of [0, 0.2]) {
        const f = (u: number) => (name === 'relu' ? Math.max(u, 0) : Number(u > 0)) + kernelEpsilon;
        const told = kernelError({ ...optionsOf(name, 4), kernelEpsilon }, x, y);
        const found = simulate(rowsFor('iid', 'chi', 4), 4, told.kernel, (row) => f(dot(row, a)) * f(dot(row, b)));
        expectAgreement(found, told);
      }
    }
  });

  it('exponential features estimate e^{|x+y|²/2}', () => {
    const told = kernelError(optionsOf('exponential', 4), x, y);
    expect(told.kernel).toBeCloseTo(Math.exp(dot(sum, sum) / 2), 12);
    expectAgreement(simulate(rowsFor('iid', 'chi', 4), 4, told.kernel, products.exponential), told);
  });

  it.each([
    [2, 1],
    [3, 1],
    [1, 0],
  ])('Maclaurin features of degree %d and offset %d is what draws give', (degree, offset) => {
    const signs = drawSigns(Random.fromSeed(5), degree * draws, dim + 1).data;
    // One estimate is a product of `degree` rows, here side by side.
    const wide = { data: signs, stride: 1 };
    const [p, q] = [
      [...a, Math.sqrt(offset)],
      [...b, Math.sqrt(offset)],
    ];
    const g = (row: Float32Array) => {
      let product = 1;
      for (let t = 0; t < degree; t++) {
        const own = row.subarray(t * (dim + 1), (t + 1) * (dim + 1));
        product *= dot(own, p) * dot(own, q);
      }
      return product;
    };
    const told = kernelError({ ...optionsOf('polynomial', 1), degree, offset }, x, y);
    expect(told.kernel).toBeCloseTo((dot(a, b) + offset) ** degree, 12);
    // The product of three has a heavy tail.
    const found = simulate(wide, 1, told.kernel, g, degree * (dim + 1));
    expectAgreement(found, told, degree === 3 ? 0.03 : 0.02);
  });

  it('Taylor features have a bias and no variance', () => {
    const told = kernelError(optionsOf('taylor', 15), x, y);
    const z = dot(a, b);
    expect(told.variance).toBe(0);
    expect(told.bias).toBeCloseTo(1 + z + z ** 2 / 2 - Math.exp(z), 12);
    expect(Math.abs(told.bias)).toBeLessThanOrEqual((Math.exp(Math.max(0, z)) * Math.abs(z) ** 3) / 6);
  });
});

describe('the measured error', () => {
  it.each(['positive', 'trigonometric', 'oprf', 'relu', 'polynomial'] as const)(
    'of %s features is the closed form within what 1,500 draws tell',
    async (name) => {
      const options = optionsOf(name, 8, name === 'polynomial' ? 'orthogonal' : 'iid'); // its signs know no kinds
      const shape = neutralShape(1, dim);
      const pairs = { x: float32([2, dim], [...x, ...y]), y: float32([2, dim], [...y, ...x]) };
      const told = [kernelError(options, x, y, { shape }), kernelError(options, y, x, { shape })];
      const kernel = told.map(({ kernel: value }) => value);
      const found = await measureKernelError(
        nodeEngine({ threads: 1 }),
        options,
        { ...pairs, kernel },
        { draws: 1500 },
      );
      told.forEach(({ kernel: value, meanSquaredError }, at) => {
        expect(Math.abs(found.mean[at]! - value)).toBeLessThan(4.5 * Math.sqrt(meanSquaredError / 1500));
        expect(Math.abs(found.meanSquaredError[at]! / meanSquaredError - 1)).toBeLessThan(0.2);
      });
    },
  );
});

describe('the effective rank', () => {
  it('is the number of directions that rows use alike', () => {
    expect(
      effectiveRank([
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, -1],
      ]),
    ).toBeCloseTo(3, 10);
    expect(
      effectiveRank([
        [1, 2, 3],
        [2, 4, 6],
      ]),
    ).toBeCloseTo(1, 6);
    expect(
      effectiveRank([
        [1, 0, 0],
        [0, 0.5, 0],
      ]),
    ).toBeCloseTo(Math.exp(-(0.8 * Math.log(0.8) + 0.2 * Math.log(0.2))), 10);
  });
});

describe('what has no closed form is refused', () => {
  test.each([
    ['gelu', () => kernelError(optionsOf('gelu', 4), x, y), /a map with a closed form, got gelu/],
    ['a shape that is missing', () => kernelError(optionsOf('oprf', 4), x, y), /a shape, got none/],
    ['vectors of another dim', () => kernelError(optionsOf('positive', 4), [1, 2], y), /vectors of 4, got 2 and 4/],
    [
      'an epsilon on features',
      () => kernelError({ ...optionsOf('positive', 4), featureEpsilon: 1e-4 }, x, y),
      /expected features of one position each, got a featureEpsilon/,
    ],
    ['γ of relu', () => kernelError(optionsOf('relu', 4), x, y, { gamma: 1 }), /gamma > 0 of a Gaussian map/],
    ['relu of regularised rows', () => kernelError(optionsOf('relu', 4, 'iid', 'root'), x, y), /row norms of chi/],
    ['the bound of more rows than dims', () => orthogonalErrorBound(5, x, y), /at most 4 features, got 5/],
    ['the rank of zeros', () => effectiveRank([[0, 0]]), /not all zero/],
  ])('%s', (_, act, message) => {
    expect(act).toThrow(PerformerError);
    expect(act).toThrow(message);
  });
});

describe('bad input', () => {
  it('of an effective rank is told by name', () => {
    expect(() => effectiveRank([])).toThrow(/rows of one length/);
    expect(() => effectiveRank([[1, 2], [1]])).toThrow(/rows of one length/);
    expect(() =>
      effectiveRank([
        [Number.NaN, 1],
        [1, 2],
      ]),
    ).toThrow(/expected finite rows/);
  });

  const options = { name: 'positive', headDim: 2, featureCount: 4, projectionKind: 'iid', rowNorm: 'chi' } as const;
  it('ends with an error that says what is wrong, at once', () => {
    expect(() => kernelError(options, [Number.NaN, 1], [1, 2])).toThrow(/expected finite vectors, got NaN/);
    expect(() => kernelError(options, [1, 1], [Number.POSITIVE_INFINITY, 2])).toThrow(/expected finite vectors/);
    for (const featureCount of [0, -4, 1.5]) {
      expect(() => kernelError({ ...options, featureCount }, [1, 1], [1, 2])).toThrow(
        /positive integer as featureCount/,
      );
    }
  });
});

/**
 * Every random map is an unbiased estimate of its kernel, and its variance is the closed form (Choromanski et al. 2021,
 * lemma 2; Likhosherstov et al. 2022): enough draws that a bias of 2 in 100 fails.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import {
  drawProjection,
  drawSigns,
  exponentialMap,
  type FeatureMap,
  type FeatureMapParts,
  generalizedFeatures,
  hyperbolicFeatures,
  type ProjectionKind,
  polynomialFeatures,
  positiveFeatures,
  shapedFeatures,
  shapeFromMoments,
  trigonometricFeatures,
} from '../../src/features/index.js';
import { anisotropicRows, momentsOf } from '../support/anisotropic.js';
import {
  add,
  blockMeans,
  dot,
  type Estimate,
  estimatesOf,
  logSecondMoment,
  pairMeans,
  plainShape,
  summarize,
  type Vector,
} from '../support/estimates.js';

const dim = 8;
const root = dim ** 0.25;
/** Rows x and y as the kernels see them: |x + y|² = .38; those given to a map are dim^¼ as long. */
const x: Vector = [0.27, 0.36, 0, 0, 0, 0, 0, 0];
const y: Vector = [0.14, 0, 0.28, 0.07, -0.14, 0, 0, 0];
const z = add(x, y);
const scaledUp = (row: Vector) => row.map((value) => value * root);
const [query, key] = [scaledUp(x), scaledUp(y)];
const softmaxKernel = Math.exp(dot(x, y));

function expectMean({ mean: found, meanError }: Estimate, truth: number): void {
  expect(meanError).toBeLessThan(0.005 * Math.abs(truth)); // so that 2 in 100 are four of them
  expect(Math.abs(found - truth)).toBeLessThan(4 * meanError);
}

function expectVariance({ variance, varianceError }: Estimate, closedForm: number): void {
  expect(varianceError).toBeLessThan(0.02 * closedForm);
  expect(Math.abs(variance - closedForm)).toBeLessThan(4 * varianceError);
}

interface Subject {
  readonly name: string;
  readonly isPaired: boolean;
  readonly build: (parts: FeatureMapParts, gamma?: number) => FeatureMap;
}

const option = (gamma: number | undefined) => (gamma === undefined ? {} : { gamma });
const gaussianSubjects: readonly Subject[] = [
  { name: 'positive', isPaired: false, build: ({ projection }, gamma) => positiveFeatures(projection!, option(gamma)) },
  {
    name: 'hyperbolic',
    isPaired: true,
    build: ({ projection }, gamma) => hyperbolicFeatures(projection!, option(gamma)),
  },
  {
    name: 'trigonometric',
    isPaired: true,
    build: ({ projection }, gamma) => trigonometricFeatures(projection!, option(gamma)),
  },
];

/** Independent estimates: of each row of Ω where rows are iid, of each block of rows where they depend on each other. */
async function sample(
  { build, isPaired }: Subject,
  kind: ProjectionKind,
  { rows = 32_000, q = query, k = key, gamma }: { rows?: number; q?: Vector; k?: Vector; gamma?: number } = {},
): Promise<Estimate> {
  const width = q.length;
  const projection = drawProjection(Random.fromSeed(21).split(kind), rows, width, { kind, rowNorm: 'chi' });
  const each = await estimatesOf((parts) => build(parts, gamma), { projection }, q, k);
  const perRow = isPaired ? pairMeans(each) : each;
  return summarize(kind === 'iid' ? perRow : blockMeans(perRow, width));
}

describe.each(gaussianSubjects)('$name features', (subject) => {
  it.each(['iid', 'orthogonal', 'givens', 'simplex'] as const)(
    'estimate exp(q·k/√dim) without bias over %s rows',
    async (kind) => expectMean(await sample(subject, kind), softmaxKernel),
  );

  it.each([0.1, 0.5, 2])('estimate exp(−γ|q − k|²) without bias, γ = %d', async (gamma) => {
    // Of a length at which positive features, whose variance grows with e^{2γ|q + k|²}, are still sharp.
    const [q, k] = [x, y].map((row) => row.map((value) => value / Math.sqrt(2 * gamma))) as unknown as [Vector, Vector];
    const distance = add(
      q,
      k.map((value) => -value),
    );
    const truth = Math.exp(-gamma * dot(distance, distance));
    for (const kind of ['orthogonal', 'simplex'] as const) {
      expectMean(await sample(subject, kind, { q, k, gamma }), truth);
    }
  });
});

describe('the variance of an iid row', () => {
  const square = dot(z, z);
  const apart = dot(
    add(
      x,
      y.map((value) => -value),
    ),
    add(
      x,
      y.map((value) => -value),
    ),
  );
  const positive = Math.exp(square) * softmaxKernel ** 2 * (1 - Math.exp(-square));
  const closedForms: Readonly<Record<string, number>> = {
    positive,
    hyperbolic: ((1 - Math.exp(-square)) * positive) / 2,
    trigonometric: (Math.exp(square) * softmaxKernel ** -2 * (1 - Math.exp(-apart)) ** 2) / 2,
  };

  it.each(gaussianSubjects)('is the closed form: $name', async (subject) => {
    expectVariance(await sample(subject, 'iid', { rows: 100_000 }), closedForms[subject.name]!);
  });
});

describe('the mean squared error of 16 rows of dim 16 at |x + y| = 1, over exp(2xᵀy)', () => {
  const wide = 16;
  const half: Vector = Array.from({ length: wide }, (_, at) => (at < 4 ? 1 / 4 : 0));
  const q = half.map((value) => value * wide ** 0.25);
  const relative = async (kind: ProjectionKind) => {
    const projection = drawProjection(Random.fromSeed(22), 8000 * wide, wide, { kind, rowNorm: 'chi' });
    const each = await estimatesOf(({ projection: rows }) => positiveFeatures(rows!), { projection }, q, q);
    const { variance, varianceError } = summarize(blockMeans(each, wide));
    const truth = Math.exp(2 * dot(half, half));
    return { error: variance / truth, spread: varianceError / truth };
  };

  it('is (e − 1)/16 for iid rows, less for orthogonal ones and least for the corners of a simplex', async () => {
    const [iid, orthogonal, simplex] = [await relative('iid'), await relative('orthogonal'), await relative('simplex')];
    expect(Math.abs(iid.error - (Math.E - 1) / wide)).toBeLessThan(4 * iid.spread);
    // .084 and .029 are the figures of an independent computation, with two digits.
    expect(Math.abs(orthogonal.error - 0.084)).toBeLessThan(0.002 + 4 * orthogonal.spread);
    expect(Math.abs(simplex.error - 0.029)).toBeLessThan(0.001 + 4 * simplex.spread);
    expect(iid.error - orthogonal.error).toBeGreaterThan(3 * Math.hypot(iid.spread, orthogonal.spread));
    expect(orthogonal.error - simplex.error).toBeGreaterThan(3 * Math.hypot(simplex.spread, orthogonal.spread));
  });
});

describe.each(['oprf', 'sderf', 'aderf'] as const)('%s features', (method) => {
  const rows = anisotropicRows(dim, 0.3, 300);
  const shape = shapeFromMoments(method, momentsOf(rows));
  const [q, k] = [rows.query[3]!, rows.key[7]!];
  const [left, right] = [q, k].map((row) => row.map((value) => value / root)) as unknown as [Vector, Vector];
  const plain = plainShape(shape);
  const truth = Math.exp(dot(left, right));
  const draw = async (kind: ProjectionKind) => {
    const projection = drawProjection(Random.fromSeed(23), 60_000, dim, { kind, rowNorm: 'chi' });
    return estimatesOf((parts) => shapedFeatures(method, parts.projection!, parts.shape!), { projection, shape }, q, k);
  };

  it.each(['orthogonal', 'simplex', 'givens'] as const)(
    'estimate exp(q·k/√dim) without bias over %s rows',
    async (kind) => expectMean(summarize(blockMeans(await draw(kind), dim)), truth),
  );

  it('have the second moment of the closed form', async () => {
    const found = summarize((await draw('iid')).map((value) => value ** 2));
    const expected = Math.exp(logSecondMoment(plain.curvature, plain.query(left), plain.key(right)));
    expect(found.meanError).toBeLessThan(0.02 * expected);
    expect(Math.abs(found.mean - expected)).toBeLessThan(4 * found.meanError);
    expect(shape.curvature.data.every((a) => a < 0)).toBe(true);
  });
});

describe('other maps', () => {
  const orthogonal = drawProjection(Random.fromSeed(24), 250_000, dim);

  it('exponential features estimate exp(|q + k|²/(2√dim))', async () => {
    const each = await estimatesOf(
      ({ projection }) => exponentialMap(dim, projection!),
      { projection: orthogonal },
      query,
      key,
    );
    expectMean(summarize(blockMeans(each, dim)), Math.exp(dot(z, z) / 2));
  });

  it('relu features estimate half the arc-cosine kernel of degree 1', async () => {
    const build = ({ projection }: FeatureMapParts) => generalizedFeatures('relu', dim, projection!, { epsilon: 0 });
    const each = await estimatesOf(build, { projection: orthogonal }, query, key);
    const [a, b] = [Math.sqrt(dot(x, x)), Math.sqrt(dot(y, y))];
    const angle = Math.acos(dot(x, y) / (a * b));
    const arcCosine = ((a * b) / Math.PI) * (Math.sin(angle) + (Math.PI - angle) * Math.cos(angle));
    expectMean(summarize(blockMeans(each, dim)), arcCosine / 2);
  });

  it.each([
    [1, 0],
    [2, 0.5],
    [2, 0],
    [3, 0.1],
  ])('polynomial features estimate (q·k/√dim + offset)^degree, degree %d, offset %d', async (degree, offset) => {
    // Mostly along one axis, whose sign cancels in a product: the power is large against its noise.
    const [u, v] = [
      [1, 0.1, 0, 0, 0.1, 0, 0, 0],
      [0.9, 0, 0.2, 0, 0.1, 0, 0, 0],
    ];
    const projection = drawSigns(Random.fromSeed(25), 120_000 * degree, dim + 1);
    const build = ({ projection: signs }: FeatureMapParts) => polynomialFeatures(signs!, { degree, offset });
    const each = await estimatesOf(build, { projection }, scaledUp(u!), scaledUp(v!));
    expect(each).toHaveLength(120_000);
    expectMean(summarize(each), (dot(u!, v!) + offset) ** degree);
  });

  it.each([
    ['along an axis', [1, 0, 0, 0, 0, 0, 0, 0]],
    ['along the diagonal', new Array<number>(dim).fill(dim ** -0.5)],
  ])('positive features over structured rows are within 2 in 100 at |x + y| = 1, %s', async (_, direction) => {
    const q = direction.map((value) => value / 2);
    const found = await sample(gaussianSubjects[0]!, 'structured', { q: scaledUp(q), k: scaledUp(q), rows: 100_000 });
    expect(Math.abs(found.mean / Math.exp(dot(q, q)) - 1)).toBeLessThan(0.02);
    expect(found.meanError / found.mean).toBeLessThan(0.006);
  });
});

/** The feature maps by name: what they say of themselves, and what they refuse. */
import { describe, expect, it } from 'vitest';
import { type ErrorCode, type HostTensor, PerformerError, Random } from '../../src/base/index.js';
import {
  cosformerFeatures,
  drawFeatureParts,
  drawProjection,
  type FeatureMapName,
  type FeatureMapOptions,
  type FeatureMapParts,
  featureCountOf,
  featureMap,
  featureMapNames,
  featureMapProblems,
  generalizedFeatures,
  hyperbolicFeatures,
  isSignedMap,
  polynomialFeatures,
  positiveFeatures,
  taylorFeatureCount,
  taylorFeatures,
  trigonometricFeatures,
} from '../../src/features/index.js';
import { constant, input, type Tensor } from '../../src/graph/index.js';
import { labelOf, mapCase, mapChoices } from '../support/tested-maps.js';

const projection = input('projection', 'float32', [12, 4]);
const options = (change: Partial<FeatureMapOptions> & { name: FeatureMapName }): FeatureMapOptions => {
  const whole = { headDim: 4, projectionKind: 'orthogonal', rowNorm: 'chi', ...change } as const;
  return { ...whole, featureCount: change.featureCount ?? featureCountOf({ ...whole, featureCount: 12 }) };
};

function errorOf(run: () => unknown): { code: ErrorCode; message: string } | undefined {
  try {
    run();
  } catch (cause) {
    if (cause instanceof PerformerError) return cause;
    throw cause;
  }
  return undefined;
}

/** Arrays as constants of a graph, in the same tree. */
function symbolic<T>(tree: T): never {
  const visit = (node: object): unknown =>
    'dtype' in node
      ? constant('float32', (node as HostTensor).shape, (node as HostTensor).data)
      : Object.fromEntries(Object.entries(node).map(([name, child]) => [name, visit(child as object)]));
  return visit(tree as object) as never;
}

describe.each(mapChoices.map((choice) => ({ label: labelOf(choice), choice })))('$label', ({ choice }) => {
  const map = mapCase(choice, 4, 2, 12);
  const built = map.build(symbolic(map.parts));

  it('has as many columns as it says, and the signs that are known before it is built', () => {
    const x = input('x', 'float32', [1, 2, 3, 4]);
    const position = built.usesPosition ? input('position', 'float32', [3, 1]) : undefined;
    for (const side of ['query', 'key'] as const) {
      const { values, logScale, logFeatures } = built[side](x, position);
      expect(values.shape).toEqual([1, 2, 3, built.featureCount]);
      if (logScale !== undefined && logScale.rank > 0) expect(logScale.shape).toEqual([1, 2, 3, 1]);
      if (logFeatures !== undefined) expect(logFeatures.shape).toEqual(values.shape);
    }
    expect(built.isSigned === true).toBe(isSignedMap(options(choice)));
    expect(built.isSigned === true).toBe(map.oracle.isSigned);
    expect(built.isSequenceWide === true).toBe(false);
  });
});

describe('the names', () => {
  it('are all tried above', () => {
    expect(new Set(mapChoices.map(({ name }) => name))).toEqual(new Set(featureMapNames()));
  });

  it('have counts that follow from the head where the map has no choice', () => {
    const count = (name: FeatureMapName, projectionKind: FeatureMapOptions['projectionKind'] = 'orthogonal') =>
      featureCountOf({ name, headDim: 5, projectionKind, featureCount: 40 });
    expect(count('taylor')).toBe(taylorFeatureCount(5));
    expect(taylorFeatureCount(5)).toBe(1 + 5 + 15);
    expect([count('cosformer'), count('hedgehog'), count('relu', 'none'), count('exponential', 'none')]).toEqual([
      10, 10, 5, 5,
    ]);
    expect([count('positive'), count('relu'), count('hyperbolic')]).toEqual([40, 40, 40]);
    // ⌈5 ln 5⌉ = 9, and the next even number where rows come in pairs.
    const plain = (name: FeatureMapName) => featureCountOf({ name, headDim: 5, projectionKind: 'iid' });
    expect([plain('positive'), plain('trigonometric'), plain('hyperbolic')]).toEqual([9, 10, 10]);
  });
});

const problems: readonly (readonly [string, Partial<FeatureMapOptions> & { name: FeatureMapName }, RegExp])[] = [
  ['an unknown name', { name: 'nothing' as never, featureCount: 4 }, /name: expected one of positive, .* got nothing/],
  ['the name of a property of every object', { name: 'toString' as never, featureCount: 4 }, /name/],
  ['an unknown kind of projection', { name: 'positive', projectionKind: 'skew' as never }, /projectionKind: expected/],
  ['an unknown row norm', { name: 'positive', rowNorm: 'one' as never }, /rowNorm: expected one of chi, root/],
  ['no features', { name: 'positive', featureCount: 0 }, /featureCount: expected a positive integer, got 0/],
  ['half a feature', { name: 'positive', featureCount: 1.5 }, /featureCount: expected a positive integer/],
  ['a head without a dim', { name: 'positive', headDim: 0, featureCount: 4 }, /headDim: expected a positive integer/],
  ['an odd number of paired features', { name: 'trigonometric', featureCount: 11 }, /multiple of 2/],
  ['an odd number of hyperbolic features', { name: 'hyperbolic', featureCount: 11 }, /multiple of 2/],
  ['another number of Taylor features', { name: 'taylor', featureCount: 12 }, /featureCount: .* are 15/],
  ['another number of features without a projection', { name: 'relu', projectionKind: 'none', featureCount: 12 }, /4/],
  ['positive features without a projection', { name: 'positive', projectionKind: 'none' }, /need a projection/],
  ['structured rows of dim 6', { name: 'positive', headDim: 6, projectionKind: 'structured' }, /power of two/],
  ['independent signs', { name: 'polynomial', projectionKind: 'iid' }, /projectionKind: polynomial .*no rows/],
  ['polynomial features without signs', { name: 'polynomial', projectionKind: 'none' }, /projectionKind: .*no rows/],
  [
    'independent Taylor features',
    { name: 'taylor', featureCount: 15, projectionKind: 'iid' },
    /projectionKind: .*rows/,
  ],
  ['structured cosFormer', { name: 'cosformer', featureCount: 8, projectionKind: 'structured' }, /projectionKind/],
  ['simplex hedgehog features', { name: 'hedgehog', featureCount: 8, projectionKind: 'simplex' }, /projectionKind/],
  ['regularised rows of shaped features', { name: 'oprf', rowNorm: 'root' }, /rowNorm: oprf .* chi/],
  ['regularised rows of SDERF', { name: 'sderf', rowNorm: 'root' }, /rowNorm: sderf .* chi/],
  ['regularised rows of ADERF', { name: 'aderf', rowNorm: 'root' }, /rowNorm: aderf .* chi/],
  ['regularised signs', { name: 'polynomial', rowNorm: 'root' }, /rowNorm: .*no rows/],
  [
    'regularised rows without a projection',
    { name: 'relu', projectionKind: 'none', featureCount: 4, rowNorm: 'root' },
    /rowNorm: .*no rows/,
  ],
  ['an epsilon of positive features', { name: 'positive', kernelEpsilon: 0.1 }, /kernelEpsilon: only/],
  ['a degree of relu features', { name: 'relu', degree: 2 }, /degree: only polynomial/],
  ['an offset of Taylor features', { name: 'taylor', offset: 1 }, /offset: only polynomial/],
  ['a projection beyond all memory', { name: 'relu', featureCount: 2 ** 31 }, /featureCount: .*268435456 entries/],
  ['signs beyond all memory', { name: 'polynomial', featureCount: 2 ** 27 }, /featureCount: .*268435456 entries/],
  ['an endless epsilon', { name: 'relu', kernelEpsilon: Number.POSITIVE_INFINITY }, /kernelEpsilon: .*finite/],
  ['an offset that is no number', { name: 'polynomial', offset: Number.NaN }, /offset: .*finite/],
  ['an endless span', { name: 'cosformer', featureCount: 8, span: Number.POSITIVE_INFINITY }, /span: .*finite/],
  ['a span of hedgehog features', { name: 'hedgehog', span: 10 }, /span: only cosformer/],
];

describe('options', () => {
  it.each(problems)('are refused: %s', (_, change, message) => {
    const wrong = options({ featureCount: 12, ...change });
    const found = featureMapProblems(wrong);
    expect(found.map(([key, text]) => `${key}: ${text}`).join('; ')).toMatch(message);
    const error = errorOf(() => featureMap(wrong, { projection }));
    expect(error?.code).toBe('CONFIG');
    expect(error?.message).toMatch(message);
  });

  it('that fit have no problems', () => {
    for (const choice of mapChoices) expect(featureMapProblems(options(choice))).toEqual([]);
  });
});

const float = (shape: readonly number[]): Tensor => input('part', 'float32', shape);
const shape = { query: float([2, 4, 4]), key: float([2, 4, 4]), curvature: float([2, 4]) };

const parts: readonly (readonly [string, FeatureMapName, FeatureMapParts, ErrorCode, RegExp])[] = [
  ['no projection', 'positive', {}, 'CONFIG', /positive features: expected a projection, got none/],
  ['no shape', 'sderf', { projection }, 'CONFIG', /expected a shape, got none/],
  ['no weights', 'hedgehog', {}, 'CONFIG', /expected learned weights, got none/],
  ['no signs', 'polynomial', {}, 'CONFIG', /expected signs, got none/],
  ['fewer rows', 'positive', { projection: float([8, 4]) }, 'SHAPE', /expected a projection \[12, 4\]/],
  ['rows of another dim', 'relu', { projection: float([12, 5]) }, 'SHAPE', /expected a projection \[12, 4\]/],
  ['a row for each of two features', 'trigonometric', { projection }, 'SHAPE', /expected a projection \[6, 4\]/],
  ['signs without the offset', 'polynomial', { projection: float([24, 4]) }, 'SHAPE', /\[24, 5\]/],
  [
    'a curvature of another dim',
    'oprf',
    { projection, shape: { ...shape, curvature: float([2, 5]) } },
    'SHAPE',
    /curvature/,
  ],
  [
    'a transform that is not square',
    'oprf',
    { projection, shape: { ...shape, key: float([2, 4, 5]) } },
    'SHAPE',
    /shape of the key/,
  ],
  [
    'weights of one head',
    'hedgehog',
    { learned: { query: float([4, 4]), key: float([4, 4]) } },
    'SHAPE',
    /weights of the query/,
  ],
];

describe('parts', () => {
  it.each(parts)('are refused: %s', (_, name, given, code, message) => {
    const error = errorOf(() => featureMap(options({ name }), given));
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(message);
  });

  it('are drawn as the options say, and the same for the same seed', () => {
    const draw = (choice: Partial<FeatureMapOptions> & { name: FeatureMapName }) =>
      drawFeatureParts(options(choice), 3, Random.fromSeed(1));
    expect(draw({ name: 'trigonometric' }).projection?.shape).toEqual([6, 4]);
    expect(draw({ name: 'polynomial', degree: 3 }).projection?.shape).toEqual([36, 5]);
    expect(draw({ name: 'relu', projectionKind: 'none' })).toEqual({});
    expect(draw({ name: 'taylor' })).toEqual({});
    const shaped = draw({ name: 'aderf' });
    expect(shaped.shape?.query.shape).toEqual([3, 4, 4]);
    expect(shaped.shape?.curvature.data.every((a) => a === 0)).toBe(true);
    expect(shaped).toEqual(draw({ name: 'aderf' }));
  });
});

describe('functions that build one map', () => {
  const refused: readonly (readonly [string, () => unknown, RegExp])[] = [
    ['an unknown nonlinearity', () => generalizedFeatures('swish' as never, 4), /one of relu, .* got swish/],
    ['the name of a property of every object', () => generalizedFeatures('constructor' as never, 4), /got constructor/],
    ['an epsilon below 0', () => generalizedFeatures('relu', 4, projection, { epsilon: -1 }), /epsilon of 0 or more/],
    [
      'an epsilon that is no number',
      () => generalizedFeatures('relu', 4, projection, { epsilon: Number.NaN }),
      /epsilon/,
    ],
    [
      'an endless epsilon',
      () => generalizedFeatures('relu', 4, projection, { epsilon: Number.POSITIVE_INFINITY }),
      /finite epsilon/,
    ],
    ['Taylor features of dim 1,000', () => taylorFeatures(1000), /dim from 1 to 256/],
    ['Taylor features of no dim', () => taylorFeatures(Number.NaN), /dim from 1 to 256/],
    ['cosFormer of dim 1.5', () => cosformerFeatures(1.5, 8), /positive integer as dim/],
    ['degree 0', () => polynomialFeatures(projection, { degree: 0, offset: 1 }), /degree of 1 or more/],
    ['degree 1.5', () => polynomialFeatures(projection, { degree: 1.5, offset: 1 }), /degree/],
    ['an offset below 0', () => polynomialFeatures(projection, { degree: 2, offset: -1 }), /offset of 0 or more/],
    ['rows that no degree divides', () => polynomialFeatures(projection, { degree: 5, offset: 1 }), /5 rows/],
    ['a span of 0', () => cosformerFeatures(4, 0), /span above 0/],
    ['a span without end', () => cosformerFeatures(4, Number.POSITIVE_INFINITY), /span above 0/],
    ['cosFormer without positions', () => cosformerFeatures(4, 8).key(float([1, 1, 3, 4])), /expected positions/],
    ['epsilon and gamma at once', () => positiveFeatures(projection, { epsilon: 0.1, gamma: 1 }), /got both/],
    ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY].flatMap((gamma) =>
      [positiveFeatures, hyperbolicFeatures, trigonometricFeatures].map(
        (build) => [`${build.name} with gamma ${gamma}`, () => build(projection, { gamma }), /gamma > 0/] as const,
      ),
    ),
    [
      'a kind of projection that there is none of',
      () => drawProjection(Random.fromSeed(1), 4, 4, { kind: 'skew' as never, rowNorm: 'chi' }),
      /expected a kind of iid/,
    ],
    [
      'a row norm that there is none of',
      () => drawProjection(Random.fromSeed(1), 4, 4, { kind: 'iid', rowNorm: 'one' as never }),
      /a rowNorm of chi, root/,
    ],
  ];

  it.each(refused)('refuse %s', (_, run, message) => {
    const error = errorOf(run);
    expect(error?.code).toMatch(/CONFIG|SHAPE/);
    expect(error?.message).toMatch(message);
  });

  it('take a function of yours, which says whether it can be negative', () => {
    const own = generalizedFeatures({ name: 'own', f: (x) => x, isSigned: true }, 4, projection);
    expect([own.name, own.featureCount, own.isSigned]).toEqual(['own', 12, true]);
  });
});

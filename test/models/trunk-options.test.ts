/** What the options of the trunk mean, each against its definition, and combinations that cannot be. */
import { describe, expect, it, test } from 'vitest';
import {
  type AnyHostTensor,
  drawBuffers,
  float32,
  type HostTensor,
  initialize,
  int32,
  leavesOf,
  mapTree,
  Random,
  uint32,
} from '../../src/base/index.js';
import { rotaryAngles } from '../../src/blocks/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { spec, specsOf, type Tensor } from '../../src/graph/index.js';
import { type LanguageModelOptions, languageModelConfig, modelOf, presetOf } from '../../src/models/index.js';
import { withPositions } from '../../src/models/positions.js';
import { values } from '../support/compare.js';
import { randomModel } from '../support/model-conformance.js';
import { leafAt } from '../support/tiny.js';

const oracle = referenceEngine();
const sizes = { dim: 48, depth: 2, heads: 2, headDim: 8 };
const configOf = (options: Partial<LanguageModelOptions>) => languageModelConfig({ ...sizes, ...options });
const namesOf = (options: Partial<LanguageModelOptions>) =>
  leavesOf(modelOf(configOf(options)).params).map(([path]) => path);
const parameterCount = (options: Partial<LanguageModelOptions>) =>
  Object.values(initialize<object>(modelOf(configOf(options)).params, Random.fromSeed(1))).reduce(
    (total: number, part: object) =>
      leavesOf(part).reduce((sum, [, leaf]) => sum + (leaf as unknown as HostTensor).data.length, total),
    0,
  );

async function compute(
  build: (given: never) => Tensor,
  given: Readonly<Record<string, AnyHostTensor>>,
): Promise<HostTensor> {
  const compiled = await oracle.compile((own: never) => ({ y: build(own) }), [specsOf(given)] as never);
  return ((await compiled.run([given] as never)) as { y: HostTensor }).y;
}

describe('norms', () => {
  test('after post-norm there is no last norm, and ReZero has one factor for each branch and LayerNorm at the end', () => {
    expect(namesOf({ norm: { placement: 'post' } }).filter((path) => path.startsWith('norm.'))).toEqual([]);
    const rezero = namesOf({ norm: 'rezero' });
    expect(rezero).toContain('blocks.1.feedForwardGain.weight');
    expect(rezero.filter((path) => path.includes('orm.'))).toEqual(['norm.weight', 'norm.bias']);
  });

  test('a ReZero model begins with blocks that change nothing', async () => {
    const model = modelOf(configOf({ norm: 'rezero', positions: 'none' }), { chunk: 4 });
    const params = initialize<object>(model.params, Random.fromSeed(1));
    const buffers = drawBuffers<object>(model.buffers, Random.fromSeed(2));
    const run = await oracle.compile(
      (learned: object, fixed: object, inputs: { tokens: Tensor<'int32'> }) => ({
        hidden: model.apply({ params: learned, buffers: fixed }, inputs).hidden,
      }),
      [specsOf(params), specsOf(buffers), { tokens: spec('int32', [1, 3]) }],
    );
    const hidden = async (...tokens: number[]) =>
      values((await run.run([params, buffers, { tokens: int32([1, 3], tokens) }])).hidden);
    // The last token is seen as it would be after any others.
    expect((await hidden(1, 2, 3)).slice(96)).toEqual((await hidden(7, 8, 3)).slice(96));
  });
});

describe('feed-forward layers', () => {
  test('gated ones have about as many parameters as others, as their hidden width is two thirds', () => {
    const [plain, gated] = [parameterCount({}), parameterCount({ activation: 'swiglu' })];
    expect(gated).toBeGreaterThan(plain);
    expect(gated / plain).toBeLessThan(1.01);
  });
});

describe('a learned temperature', () => {
  test('multiplies logits: a factor of 2 gives what queries and keys of √2 times the length give', async () => {
    const model = randomModel('causal-language-model', { queryKeyNorm: 'temperature', attention: 'softmax' });
    const run = (params: object) =>
      oracle.compile(
        (learned: object, fixed: object, inputs: { tokens: Tensor<'int32'> }) => {
          const { query, key } = model.model.apply({ params: learned, buffers: fixed }, inputs).attended[0]!;
          return { query, key };
        },
        [specsOf(params), specsOf(model.buffers), { tokens: spec('int32', [1, 3]) }],
      );
    const withScale = (scale: number) =>
      mapTree<object, HostTensor, object>(model.params, (leaf, path) =>
        path === 'blocks.0.attention.queryKeyScale' ? { ...leaf, data: leaf.data.map(() => scale) } : leaf,
      );
    const compiled = await run(model.params);
    const rows = async (scale: number) =>
      compiled.run([withScale(scale), model.buffers, { tokens: int32([1, 3], [1, 2, 3]) }] as never);
    const [plain, doubled] = [await rows(1), await rows(Math.SQRT2)];
    for (const name of ['query', 'key'] as const) {
      values(plain[name]).forEach((value, at) => {
        expect(values(doubled[name])[at]).toBeCloseTo(value * Math.SQRT2, 6);
      });
    }
  });
});

describe('normalised queries and keys', () => {
  test('have the length √τ·d^¼, whatever the weights, so that no logit is larger than the temperature', async () => {
    const temperature = 3;
    const { model, params, buffers } = randomModel('causal-language-model', {
      queryKeyNorm: { kind: 'unit', temperature },
      attention: 'softmax',
      qkvBias: true,
    });
    const scale = values(leafAt(params, 'blocks.0.attention.queryKeyScale'));
    const run = await oracle.compile(
      (learned: object, fixed: object, inputs: { tokens: Tensor<'int32'> }) => {
        const { query, key } = model.apply({ params: learned, buffers: fixed }, inputs).attended[0]!;
        return { query, key };
      },
      [specsOf(params), specsOf(buffers), { tokens: spec('int32', [1, 5]) }],
    );
    const attended = await run.run([params, buffers, { tokens: int32([1, 5], [1, 2, 3, 4, 5]) }]);
    for (const rows of [attended.query, attended.key]) {
      const all = values(rows); // [1, 5, 2, 6]
      for (let row = 0; row < 10; row++) {
        const length = Math.hypot(...all.slice(row * 6, row * 6 + 6));
        // Not quite, as RMSNorm adds 1e-5 to the mean of the squares of rows as small as these.
        expect(length / (scale[row % 2]! * 6 ** 0.25)).toBeCloseTo(1, 2);
      }
    }
    expect(Math.abs(scale[0]! - Math.sqrt(temperature))).toBeLessThan(0.5);
  });
});

describe('rotary positions', () => {
  const at = async (position: number, dim: number, options?: object) => {
    const angles = await compute(({ p }: { p: Tensor<'uint32'> }) => rotaryAngles(p, dim, options).sine, {
      p: uint32([1, 1], [position]),
    });
    return values(angles);
  };

  it('linear scaling gives a token the angles of one that stands factor times nearer', async () => {
    const scaled = await at(400, 8, { scaling: { kind: 'linear', factor: 4 } });
    (await at(100, 8)).forEach((sine, i) => expect(scaled[i]).toBeCloseTo(sine, 5));
  });

  it('ntk scaling does so for the slowest pair and leaves the fastest as it is', async () => {
    const scaled = await at(400, 8, { scaling: { kind: 'ntk', factor: 4 } });
    expect(scaled[0]).toBeCloseTo((await at(400, 8))[0]!, 6);
    expect(scaled[3]).toBeCloseTo((await at(100, 8))[3]!, 5);
  });

  it('a fraction turns that part of the pairs alone, and a base sets their speeds', async () => {
    expect(await at(3, 8, { fraction: 0.5, base: 100 })).toEqual([
      expect.closeTo(Math.sin(3), 6),
      expect.closeTo(Math.sin(0.3), 6),
      0,
      0,
    ]);
  });
});

describe('embeddings begin', () => {
  const deviationOf = (options: Partial<LanguageModelOptions>, path: string) => {
    const params = initialize<object>(modelOf(configOf(options)).params, Random.fromSeed(1));
    const { data } = leavesOf<object, HostTensor>(params).find(([name]) => name === path)![1];
    return Math.sqrt(data.reduce((total, value) => total + value ** 2, 0) / data.length);
  };
  const learned = { positions: { kind: 'learned', maxLength: 256 } } as const;

  it.each(['embedding.weight', 'positions.weight'])('as far from zero as is asked for: %s', (path) => {
    expect(deviationOf(learned, path) / 0.02).toBeCloseTo(1, 1);
    expect(deviationOf({ ...learned, embeddingDeviation: 1.5 }, path) / 1.5).toBeCloseTo(1, 1);
  });

  it('so in presets of language models', () => {
    expect(presetOf('tiny', 'causal-language-model').model).toMatchObject({ embeddingDeviation: 1, tokenShift: 2 });
    expect(presetOf('tiny', 'encoder').model).not.toHaveProperty('embeddingDeviation');
  });
});

describe('added positions', () => {
  const zero = float32([1, 2, 4], new Float32Array(8));
  const given = { x: zero, at: uint32([1, 2], [0, 7]) };

  it('are waves of the size of embeddings where they are sinusoidal', async () => {
    const y = await compute(
      ({ x, at }: { x: Tensor; at: Tensor<'uint32'> }) =>
        withPositions({ kind: 'sinusoidal' }, undefined, x, { at, mask: undefined, deviation: 0.02 }),
      given,
    );
    const wave = [0, 0, 1, 1, Math.sin(7), Math.sin(0.07), Math.cos(7), Math.cos(0.07)];
    values(y).forEach((value, i) => expect(value).toBeCloseTo(0.02 * Math.SQRT2 * wave[i]!, 6));
  });

  it('are those of the row and of the column where they are axial', async () => {
    const rows = float32([3, 4], [0, 0, 0, 0, 10, 10, 10, 10, 20, 20, 20, 20]);
    const columns = float32([3, 4], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const y = await compute(
      ({ x, at, r, c }: Record<'x' | 'r' | 'c', Tensor> & { at: Tensor<'uint32'> }) => {
        const tables = { rows: { weight: r }, columns: { weight: c } };
        return withPositions({ kind: 'axial', maxLength: 9, columns: 3, channels: 1 }, tables, x, {
          ...{ at, mask: undefined, deviation: 0.02 },
        });
      },
      { ...given, r: rows, c: columns },
    );
    expect(values(y)).toEqual([0, 1, 2, 3, 24, 25, 26, 27]); // 7 = 2·3 + 1
  });
});

describe('a mixer for each layer', () => {
  const kinds = (options: Partial<LanguageModelOptions>) =>
    modelOf(configOf({ depth: 4, ...options })).mixers.map(({ traits }) => traits.state);

  it('comes from a list that is repeated over the depth', () => {
    expect(kinds({ attention: ['softmax', 'favor+'] })).toEqual(['growing', 'fixed', 'growing', 'fixed']);
    expect(kinds({ attention: ['favor+', 'favor+', 'none', 'softmax'] })).toEqual([
      'fixed',
      'fixed',
      'none',
      'growing',
    ]);
    const { attention } = configOf({ attention: ['softmax', { features: { featureCount: 9 } }] });
    expect(attention).toMatchObject([{ kind: 'softmax' }, { kind: 'favor+', features: { featureCount: 9 } }]);
  });

  it('has the options that stand beside names, where it has such', () => {
    const beside = { kind: 'softmax,favor+', features: 'relu' } as never;
    expect(configOf({ attention: beside }).attention).toMatchObject([
      { kind: 'softmax' },
      { kind: 'favor+', features: { name: 'relu' } },
    ]);
  });
});

describe('combinations that cannot be are one clear error', () => {
  test.each([
    [
      'ReZero behind the layers',
      { norm: { kind: 'rezero', placement: 'post' } },
      /norm: Unrecognized key: "placement"/,
    ],
    [
      'token shift over more tokens than it has channels',
      { dim: 4, tokenShift: 3 },
      /tokenShift: half of the 4 channels: expected at most 2, got 3/,
    ],
    [
      'reversible layers with norms behind them',
      { reversible: true, norm: { placement: 'post' } },
      /reversible: norms behind the layers cannot be computed backwards: expected norm\.placement "pre"/,
    ],
    [
      'a first layer that shares attention',
      { attention: 'shared' },
      /attention: the first layer has none to share, expected attention of its own before shared/,
    ],
    ['a first layer of a list that shares attention', { attention: ['shared', 'softmax'] }, /attention\.0: the first/],
    ['another part of attention', { attention: ['softmax', { kind: 'shared', part: 'keys' }] }, /attention\.1\.part/],
    ['rotary positions of an odd head', { headDim: 7 }, /headDim: rotary positions need it even/],
    ['waves of an odd dim', { dim: 47, positions: { waves: true } }, /dim: waves need it even/],
    ['sinusoidal positions of an odd dim', { dim: 47, positions: 'sinusoidal' }, /dim: sinusoidal positions need/],
    [
      'axial positions whose rows do not fill the text',
      { positions: { kind: 'axial', maxLength: 100, columns: 48 } },
      /positions\.columns: expected a divisor of maxLength, 100, got 48/,
    ],
    ['a list that does not divide the depth', { depth: 3, attention: ['softmax', 'favor+'] }, /attention: .* depth, 3/],
    [
      'memory tokens that no token looks at',
      { memoryTokens: 3, attention: 'none' },
      /memoryTokens: expected 0, as no token looks at them with attention: 'none', got 3/,
    ],
    [
      'attention of one direction that is exact up to a length',
      { attention: { exactUpTo: 8 } },
      /attention\.exactUpTo: expected attention without a causal order/,
    ],
    ['no list', { attention: [] }, /attention: expected a list/],
    ['a wrong name in a list', { attention: ['softmax', 'soft'] }, /attention\.1\.kind: expected one of favor\+/],
    [
      'options that none of a list has',
      { attention: { kind: 'softmax,none', features: 'relu' } },
      /attention\.features: none of the list has it/,
    ],
    ['a scaling without its kind', { positions: { scaling: { factor: 2 } } }, /scaling: Unrecognized key: "factor"/],
  ])('%s', (_, options, message) => {
    expect(() => configOf(options as Partial<LanguageModelOptions>)).toThrow(message);
  });
});

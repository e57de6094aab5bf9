/** Feature maps and mixers from outside: named in a config, they are trained, saved and read as those of the library are. */
import { beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { optionFields } from '../../src/base/options.js';
import { featureFamily, featureMapNames, projectionBuffer, registerFeatureMap } from '../../src/features/index.js';
import { exp, matmul, multiply, type Tensor } from '../../src/graph/index.js';
import { attentionMixer, mixerFamily, registerMixer } from '../../src/mixers/index.js';
import {
  decodeModel,
  encodeModel,
  languageModelConfig,
  modelConfig,
  modelFamily,
  modelOf,
} from '../../src/models/index.js';
import { leafAt, snapshotOf, tinyModel, trainerFor } from '../support/tiny.js';

/** φ(x) = exp(warmth·Ωx/√dim), without the norm. */
const warmFeatures = featureFamily({
  name: 'test-warm',
  text: 'exponentials of a test',
  own: { warmth: z.number().positive().max(4).default(0.5) },
  hasRandomRows: true,
  isSigned: () => false,
  buffers: (options) => projectionBuffer(options),
  build({ featureCount, headDim, warmth = 0.5 }, { projection }) {
    const features = (x: Tensor) => ({
      values: exp(multiply(matmul(x, projection!, { transposeRight: true }), warmth / Math.sqrt(headDim))),
    });
    return { name: 'test-warm', featureCount, query: features, key: features };
  },
});

/** Every token sees itself alone, times a number. */
const gainMixer = mixerFamily({
  kind: 'test-gain',
  text: 'values times a number',
  own: { gain: z.number().max(10).default(2) },
  problems: ({ gain }) => (gain === 0 ? [[['gain'], 'nothing would pass']] : []),
  build: ({ gain }, sizes) =>
    attentionMixer(sizes, {
      buffers: {},
      traits: { state: 'none', isChunked: false, isFlat: true },
      state: () => ({}),
      operations: () => ({ attention: 0, withoutGradient: 0 }),
      attend: ({ value }) => ({ output: multiply(value, gain), state: {} }),
    }),
});

beforeAll(() => {
  registerFeatureMap(warmFeatures);
  registerMixer(gainMixer);
});

/** Names from outside are no part of the types. */
const named = (attention: object) => attention as never;

const cases = [
  ['a feature map', named({ features: { name: 'test-warm', featureCount: 16, warmth: 0.25 } }), 'projection'],
  ['a mixer', named({ kind: 'test-gain', gain: 3 }), undefined],
] as const;

describe.each(cases)('%s that was registered', (_, attention, buffer) => {
  it('is trained by its name, and learns', async () => {
    const trainer = await trainerFor(snapshotOf({ attention }, { learningRate: 1e-2, steps: 12 }));
    const losses: number[] = [];
    for (let step = 0; step < 12; step++) losses.push((await trainer.step()).loss);
    const { buffers } = await trainer.fetchSnapshot();
    await trainer.dispose();
    expect(losses.at(-1)).toBeLessThan(losses[0]! - 1);
    if (buffer !== undefined) expect(leafAt(buffers, `blocks.1.attention.${buffer}`).shape).toEqual([16, 8]);
  });

  it('comes back from the files of a model', () => {
    const { model: config, params, buffers } = snapshotOf({ attention });
    const loaded = decodeModel(encodeModel({ model: modelOf(config), params, buffers }));
    expect(loaded.model.config).toEqual(config);
    expect(modelConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
  });
});

describe('what is registered', () => {
  it('is among the names and the options of a model', () => {
    expect(featureMapNames()).toContain('test-warm');
    const fields = new Map(
      optionFields(modelFamily('causal-language-model').schema).map((field) => [field.flag, field]),
    );
    expect(fields.get('feature-map')?.choices).toContain('test-warm');
    expect(fields.get('attention')?.choices).toContain('test-gain');
  });

  it('has its defaults filled in, and its options checked', () => {
    const of = (attention: object) => languageModelConfig({ ...tinyModel, attention: named(attention) }).attention;
    expect(of({ kind: 'test-gain' })).toEqual({ kind: 'test-gain', gain: 2 });
    expect(of({ features: 'test-warm' })).toMatchObject({
      features: { name: 'test-warm', warmth: 0.5, featureCount: 17 },
    });
    expect(() => of({ kind: 'test-gain', gain: 11 })).toThrow(/attention\.gain: .*got 11/);
    expect(() => of({ kind: 'test-gain', gain: 0 })).toThrow(/attention\.gain: nothing would pass/);
    expect(() => of({ features: { name: 'test-warm', warmth: -1 } })).toThrow(/attention\.features\.warmth: /);
    expect(() => of({ features: { name: 'test-warm', degree: 3 } })).toThrow(/attention\.features: .*"degree"/);
  });

  it('cannot take a name that is taken', () => {
    expect(() => registerFeatureMap(warmFeatures)).toThrow(
      /registerFeatureMap: expected a name that is free, got test-warm/,
    );
    expect(() => registerMixer(gainMixer)).toThrow(/registerMixer: expected a kind that is free, got test-gain/);
    expect(() => registerMixer({ ...gainMixer, kind: 'softmax' })).toThrow(/got softmax/);
  });
});

/** Models whose heads share keys and values: the option, its sizes, and a training, a saved model and a text from it. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf } from '../../src/base/index.js';
import { attention, loadModel, saveModel, trainModel } from '../../src/index.js';
import { languageModelConfig, modelOf } from '../../src/models/index.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

const size = { dim: 16, depth: 1, heads: 4, headDim: 4, attention: { features: { featureCount: 8 } } } as const;
const text = new TextEncoder().encode('to be or not to be '.repeat(20));

describe('keyHeads', () => {
  it('makes keys, values and the state smaller, and is as many as the heads unless given', () => {
    const shapes = (options: object) => {
      const model = modelOf(languageModelConfig({ ...size, ...options }));
      const named = new Map(leavesOf(model.params) as [string, { shape: readonly number[] }][]);
      const of = (name: string) => named.get(`blocks.0.attention.${name}.weight`)!.shape;
      const state = leavesOf(model.state(1)).map(([, leaf]) => (leaf as unknown as { shape: readonly number[] }).shape);
      return {
        query: of('query'),
        key: of('key'),
        value: of('value'),
        sums: state.filter(({ length }) => length === 4),
      };
    };
    expect(shapes({ keyHeads: 2 })).toEqual({ query: [16, 16], key: [16, 8], value: [16, 8], sums: [[1, 2, 8, 5]] });
    expect(shapes({})).toEqual(shapes({ keyHeads: 4 }));
  });

  it('that do not divide the heads are one clear error', () => {
    expect(() => languageModelConfig({ ...size, keyHeads: 3 })).toThrow(
      /keyHeads: expected a divisor of heads, 4, got 3/,
    );
  });

  it.each([
    ['FAVOR+', {}],
    ['shaped FAVOR+', { attention: { features: { name: 'sderf', featureCount: 8 } } }],
    ['normalised queries and keys', { queryKeyNorm: 'unit' }],
    ['exact attention', { attention: 'softmax' }],
  ] as const)('train, are saved and loaded, and write on, with %s', async (_, options) => {
    const model = await trainModel(text, { ...size, ...options, keyHeads: 2, steps: 3, batch: 2, window: 16, seed: 1 });
    const loaded = await loadModel(await saveModel(model), { kind: 'language-model' });
    expect(loaded.config).toMatchObject({ keyHeads: 2 });
    const [before, after] = [await model.logits('to be'), await loaded.logits('to be')];
    expect(largestError(after as HostTensor, before as HostTensor)).toBeLessThan(1e-6);
    const write = (each: typeof model) => each.generate('to be or', { maxTokens: 20, temperature: 0 }).text();
    expect(await write(loaded)).toBe(await write(model));
  });
});

describe('attention on arrays', () => {
  const [batch, length, heads, dim] = [1, 6, 4, 4];
  const draw = (name: string, count: number) => normal(name, [batch, length, count, dim]).data;

  it.each(['favor+', 'softmax'] as const)('takes fewer key heads, by %s', async (kind) => {
    const [query, key, value] = [draw('query', heads), draw('key', 2), draw('value', 2)];
    const repeated = (x: ArrayLike<number>) =>
      Array.from({ length: length * heads * dim }, (_, at) => {
        const [position, head, i] = [Math.floor(at / (heads * dim)), Math.floor(at / dim) % heads, at % dim];
        return x[(position * 2 + Math.floor(head / 2)) * dim + i]!;
      });
    const shape = [batch, length, heads, dim] as const;
    const few = await attention({ query, key, value, shape, keyHeads: 2 }, { kind, isCausal: true });
    const all = await attention({ query, key: repeated(key), value: repeated(value), shape }, { kind, isCausal: true });
    few.forEach((x, at) => expect(Math.abs(x - all[at]!)).toBeLessThan(1e-5));
    await expect(attention({ query, key, value, shape, keyHeads: 3 }, { kind })).rejects.toThrow(/divide 4 heads/);
  });
});

/** Embeddings and predictions: one vector for each text, the same whatever stands beside it. */
import { beforeAll, describe, expect, it } from 'vitest';
import { drawBuffers, initialize, int32, Random, symbol } from '../../src/base/index.js';
import { spec, specsOf, type Tensor } from '../../src/graph/index.js';
import { createPredictor, embed, type LoadedModel, modelConfig, modelOf, predict } from '../../src/models/index.js';
import { values } from '../support/compare.js';
import { engine, tinyModel } from '../support/tiny.js';

function loadedOf(options: object): LoadedModel {
  const model = modelOf(modelConfig({ ...tinyModel, ...options }), { chunk: 8 });
  const params: object = initialize(model.params, Random.fromSeed(1));
  const buffers: object = drawBuffers(model.buffers, Random.fromSeed(2));
  return { model, params, buffers };
}

const texts = ['the white whale', 'a', 'swam before him as the monomaniac incarnation', '', 'of all'];

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));

/** The last hidden layer of each text, read alone: [length][dim]. */
async function hiddenOf({ model, params, buffers }: LoadedModel, given: readonly string[]): Promise<number[][][]> {
  const read = await engine.compile(
    (learned: object, drawn: object, { tokens }: { tokens: Tensor<'int32'> }) => ({
      hidden: model.apply({ params: learned, buffers: drawn }, { tokens }).hidden,
    }),
    [specsOf(params) as object, specsOf(buffers) as object, { tokens: spec('int32', [1, symbol('length')]) }],
  );
  const layers: number[][][] = [];
  for (const text of given) {
    const bytes = new TextEncoder().encode(text);
    const { hidden } = await read.run([params, buffers, { tokens: int32([1, bytes.length], bytes) }]);
    const flat = values(hidden);
    layers.push(Array.from({ length: bytes.length }, (_, at) => flat.slice(16 * at, 16 * (at + 1))));
  }
  await read.dispose();
  return layers;
}

const models = {
  'an encoder': { model: 'encoder' },
  'an encoder with exact attention': { model: 'encoder', attention: 'softmax' },
  'a language model': {},
  'a language model with exact attention': { attention: 'softmax' },
  'a classifier that sets a token first': {
    model: 'classifier',
    pooling: 'first',
    targets: { kind: 'classes', names: ['a', 'b'] },
  },
};

describe.each(Object.entries(models))('embeddings of %s', (_, options) => {
  const loaded = loadedOf(options);
  const filled = texts.filter((text) => text !== '');
  let alone: number[][][];
  beforeAll(async () => {
    alone = await hiddenOf(loaded, filled);
  });

  it.each(['mean', 'last', 'first'] as const)('by the %s are those of the text alone', async (pooling) => {
    const together = await embed(engine, loaded, texts, { pooling, batch: 3 });
    expect(together.length).toBe(texts.length);
    for (const [index, rows] of alone.entries()) {
      const mean = rows[0]!.map((_, at) => rows.reduce((total, row) => total + row[at]!, 0) / rows.length);
      const expected = { mean, last: rows.at(-1)!, first: rows[0]! }[pooling];
      const own = together[texts.indexOf(filled[index]!)]!;
      expect(farthest(expected, own), filled[index]).toBeLessThan(2e-5);
    }
    expect(together[3]!.every(Number.isFinite)).toBe(true);
  });
});

describe('embeddings', () => {
  const loaded = loadedOf({ model: 'encoder' });

  it('are the same of a text, its bytes and its tokens', async () => {
    const bytes = new TextEncoder().encode('whale');
    const [text, ...others] = await embed(engine, loaded, ['whale', bytes, [...bytes]]);
    for (const other of others) expect(farthest(text!, other)).toBeLessThan(1e-6);
  });

  it('have the length 1 where they are normalised, and zeros of an empty text', async () => {
    const [whale, nothing] = await embed(engine, loaded, ['whale', ''], { normalize: true });
    expect(Math.hypot(...whale!)).toBeCloseTo(1, 5);
    expect([...nothing!]).toEqual(new Array(16).fill(0));
  });

  it('keep their first dimensions, of the length 1 again where they are normalised, and no more than there are', async () => {
    const [whole] = await embed(engine, loaded, ['whale']);
    const [cut] = await embed(engine, loaded, ['whale'], { dimensions: 5 });
    expect(farthest(cut!, whole!.subarray(0, 5))).toBeLessThan(1e-6);
    expect(cut).toHaveLength(5);
    const [unit] = await embed(engine, loaded, ['whale'], { dimensions: 5, normalize: true });
    const length = Math.hypot(...cut!);
    expect(
      farthest(
        unit!,
        cut!.map((value) => value / length),
      ),
    ).toBeLessThan(1e-5);
    for (const dimensions of [0, 17, 1.5]) {
      const told = `expected dimensions from 1 to 16, got ${dimensions}`;
      await expect(embed(engine, loaded, ['a'], { dimensions })).rejects.toThrow(told);
    }
  });

  it('are cut at the window, and refused where a text is longer than learned positions', async () => {
    const short = loadedOf({ model: 'encoder', positions: { kind: 'learned', maxLength: 5 } });
    await expect(embed(engine, short, ['whales'])).rejects.toThrow('expected at most 5 tokens, got 6');
    const [cut, own] = await embed(engine, short, ['whales', 'whale'], { window: 5 });
    expect(farthest(cut!, own!)).toBeLessThan(1e-6);
    await expect(embed(engine, loaded, [], { batch: 0 })).rejects.toThrow('a positive integer as batch, got 0');
  });
});

describe('predictions', () => {
  it('are probabilities of the classes', async () => {
    const targets = { kind: 'classes', names: ['a', 'b', 'c'] };
    const predictor = await createPredictor(engine, loadedOf({ model: 'classifier', targets }));
    expect(predictor.targets.names).toEqual(['a', 'b', 'c']);
    const rows = await predictor.predict(texts);
    await predictor.dispose();
    for (const row of rows) expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
  });

  it('are values in their own units', async () => {
    const units = { means: [100, -3], deviations: [10, 2] };
    const names = ['x', 'y'];
    const own = loadedOf({ model: 'classifier', targets: { kind: 'values', names } });
    const scaled = {
      ...own,
      model: loadedOf({ model: 'classifier', targets: { kind: 'values', names, ...units } }).model,
    };
    const [plain] = await predict(engine, own, ['whale']);
    const [told] = await predict(engine, scaled, ['whale']);
    expect(told![0]).toBeCloseTo(100 + 10 * plain![0]!, 3);
    expect(told![1]).toBeCloseTo(-3 + 2 * plain![1]!, 3);
  });

  it('are refused of other models', async () => {
    await expect(predict(engine, loadedOf({}), [])).rejects.toThrow(
      'expected a classifier, got a causal-language-model',
    );
  });
});

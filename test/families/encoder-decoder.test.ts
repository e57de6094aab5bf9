/** The encoder-decoder: it learns to write a text of another, and a session reads the source once. */
import { describe, expect, it } from 'vitest';
import { drawBuffers, initialize, leavesOf, Random, type StateSpec } from '../../src/base/index.js';
import { byteTokenizer, encodePairs, splitItems, type TextPair } from '../../src/data/index.js';
import { GenerationSession, generate } from '../../src/generation/index.js';
import {
  type EncoderDecoderOptions,
  encoderDecoderConfig,
  type LoadedModel,
  languageModelConfig,
  modelOf,
} from '../../src/models/index.js';
import { sequenceToSequence } from '../../src/tasks/index.js';
import { initialSnapshot, Trainer, trainingConfig } from '../../src/training/index.js';
import { engine } from '../support/tiny.js';

const sizes = { dim: 32, depth: 1, heads: 2, headDim: 16, attention: { features: { featureCount: 32 } } } as const;

function fresh(options: Partial<EncoderDecoderOptions> = {}): LoadedModel {
  const model = modelOf(encoderDecoderConfig({ ...sizes, ...options } as EncoderDecoderOptions));
  const params: object = initialize(model.params, Random.fromSeed(1));
  return { model, params, buffers: drawBuffers<object>(model.buffers, Random.fromSeed(2)) };
}

/** Words of two or three letters, and the same letters backwards. */
const pairs: readonly TextPair[] = Array.from({ length: 1500 }, (_, index) => {
  const random = Random.fromSeed(7).split(index);
  const letters = Array.from(random.bits(2 + (index % 2)), (word) => 'abcde'[word % 5] as string);
  return { source: letters.join(''), target: letters.toReversed().join('') };
});

async function textOf(session: GenerationSession, source: string, maxTokens = 20, prompt = ''): Promise<string> {
  let text = '';
  for await (const piece of generate(session, prompt, { source, maxTokens, seed: 1, temperature: 0 }))
    text += piece.text;
  return text;
}

const attentions = {
  'FAVOR+': sizes.attention,
  'exact attention': 'softmax',
  'a window': { kind: 'window', window: 8 },
} as const;

describe.each(Object.entries(attentions))('a session of an encoder-decoder with %s', (_, attention) => {
  const loaded = fresh({ depth: 2, attention });
  const letters = (text: string) => byteTokenizer.encode(text);

  it('writes of a source, goes on from a saved state, and of another source something else', async () => {
    const session = await GenerationSession.create(engine, loaded);
    const whole = await textOf(session, 'a source of some length');
    await textOf(session, 'a source of some length', 9);
    const saved = await session.saveState();
    const other = await GenerationSession.create(engine, loaded);
    other.loadState(saved);
    expect(Array.from(other.logits)).toEqual(Array.from(session.logits));
    const [next, same] = [await session.step(letters('x')), await other.step(letters('x'))];
    expect(Array.from(same)).toEqual(Array.from(next));
    await session.readSource(letters('another'));
    const begun = await session.step(Int32Array.of(session.boundary!));
    await session.readSource(letters('a source of some length'));
    const again = await session.step(Int32Array.of(session.boundary!));
    expect(Array.from(begun)).not.toEqual(Array.from(again));
    expect(await textOf(session, 'a source of some length')).toBe(whole);
    await session.dispose();
    await other.dispose();
  });

  it('reads sources of several lengths side by side as each alone', async () => {
    const sources = ['short', 'a much longer source than that'];
    const both = await GenerationSession.create(engine, loaded, { batch: 2 });
    await both.readSource(sources.map(letters));
    const begin = Int32Array.of(both.boundary!);
    const together = await both.read([begin, begin]);
    await both.dispose();
    const single = await GenerationSession.create(engine, loaded);
    for (const [row, source] of sources.entries()) {
      await single.readSource(letters(source));
      const alone = await single.step(begin);
      const difference = alone.map((value, at) => Math.abs(value - together[row * alone.length + at]!));
      expect(Math.max(...difference)).toBeLessThan(2e-5);
    }
    await single.dispose();
  });

  it('saves and loads a row with its source beside others with sources of other lengths', async () => {
    const session = await GenerationSession.create(engine, loaded, { batch: 2 });
    await session.readSource(['a much longer source than that', 'short'].map(letters));
    const begin = Int32Array.of(session.boundary!);
    await session.read([begin, begin]);
    const rows = [await session.saveRow(0), await session.saveRow(1)];
    const expected = await session.read([letters('ab'), letters('ab')]);
    await session.readSource(['short', 'shorter'].map(letters));
    await session.loadRow(0, rows[1]!);
    await session.loadRow(1, rows[0]!);
    const loadedRows = await session.read([letters('ab'), letters('ab')]);
    const half = expected.length / 2;
    const turned = [...expected.subarray(half), ...expected.subarray(0, half)];
    expect(Math.max(...turned.map((value, at) => Math.abs(value - loadedRows[at]!)))).toBeLessThan(2e-5);
    await session.dispose();
  });

  it('needs a source before the text', async () => {
    const session = await GenerationSession.create(engine, loaded);
    await expect(session.step(letters('a'))).rejects.toThrow(/expected a source before the text, got none/);
    await session.dispose();
  });
});

it('what is kept of a source has one size with FAVOR+, whatever its length', () => {
  const kept = leavesOf<object, StateSpec>(fresh().model.state(1)).filter(([path]) => path.includes('crossAttention.'));
  expect(kept.map(([path]) => path)).toEqual(['blocks.0.crossAttention.sum', 'blocks.0.crossAttention.logScale']);
  expect(kept.every(([, { growing, ofSource }]) => growing === undefined && ofSource === undefined)).toBe(true);
});

it('reads short sources exactly and long ones through features where that is asked for', async () => {
  const begun = async (attention: object, source: string) => {
    const session = await GenerationSession.create(engine, fresh({ attention }));
    await session.readSource(byteTokenizer.encode(source));
    const logits = await session.step(Int32Array.of(session.boundary!));
    await session.dispose();
    return logits;
  };
  const { features } = sizes.attention;
  const moved = async (source: string) => {
    const [plain, mixed] = [await begun({ features }, source), await begun({ features, exactUpTo: 12 }, source)];
    return Math.max(...plain.map((value, at) => Math.abs(value - mixed[at]!)));
  };
  expect(await moved('twelve bytes')).toBeGreaterThan(1e-4);
  expect(await moved('thirteen byte')).toBeLessThan(1e-6);
});

it('a model of another family reads no source', async () => {
  const model = modelOf(languageModelConfig(sizes));
  const params: object = initialize(model.params, Random.fromSeed(1));
  const session = await GenerationSession.create(engine, {
    model,
    params,
    buffers: drawBuffers<object>(model.buffers, Random.fromSeed(2)),
  });
  await expect(session.readSource(Int32Array.of(1))).rejects.toThrow(/expected a model that reads a source/);
  await session.dispose();
});

describe('an encoder-decoder', () => {
  it('learns to reverse words, and writes them whole', async () => {
    const training = trainingConfig({
      steps: 150,
      batch: 20,
      optimizer: 'muon',
      window: 8,
      learningRate: 1e-2,
      redrawInterval: 0,
      weightDecay: 0.01,
    });
    const config = encoderDecoderConfig({ ...sizes, positions: { kind: 'learned', maxLength: 8 } });
    const data = splitItems(encodePairs(pairs, byteTokenizer), 0.06, Random.fromSeed(1));
    const task = sequenceToSequence(modelOf(config), training, data);
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    for (let step = 0; step < 150; step++) await trainer.step();
    const { measures } = await trainer.evaluate();
    const { params, buffers } = await trainer.fetchSnapshot();
    const loaded = { model: modelOf(config), params, buffers };
    await trainer.dispose();
    expect(measures.exactMatch).toBeGreaterThan(0.99);
    const session = await GenerationSession.create(engine, loaded);
    expect(await textOf(session, 'abc', 7)).toBe('cba');
    await session.dispose();
  }, 180_000);
});

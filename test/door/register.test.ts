/** A feature map, a mixer and a tokenizer that the package does not know, registered from outside and used by name. */
import { expect, it } from 'vitest';
import * as z from 'zod';
import { option } from '../../src/base/index.js';
import { multiply, softplus, type Tensor } from '../../src/graph/index.js';
import {
  attention,
  createModel,
  featureFamily,
  loadModel,
  mixerFamily,
  registerFeatureMap,
  registerMixer,
  registerTokenizer,
  saveModel,
  trainModel,
} from '../../src/index.js';
import { attentionMixer } from '../../src/mixers/index.js';
import { wordTokenizer } from '../support/word-tokenizer.js';

registerFeatureMap(
  featureFamily({
    name: 'steep',
    text: 'softplus of a multiple',
    own: { steepness: option(z.number().positive().default(1), 'what rows are multiplied by') },
    fixedCount: (dim) => dim,
    isSigned: () => false,
    build({ headDim, steepness }) {
      const features = (x: Tensor) => ({ values: softplus(multiply(x, steepness)) });
      return { name: 'steep', featureCount: headDim, query: features, key: features };
    },
  }),
);

registerMixer(
  mixerFamily({
    kind: 'scaled-values',
    text: 'values times queries, keys and a number',
    own: { gain: option(z.number().default(1), 'what the product is multiplied by') },
    build: ({ gain }, sizes) =>
      attentionMixer(sizes, {
        buffers: {},
        traits: { state: 'none', isChunked: false, isFlat: false },
        state: () => ({}),
        operations: () => ({ attention: 0, withoutGradient: 0 }),
        attend: ({ query, key, value }) => ({
          output: multiply(multiply(value, gain), multiply(query, key)),
          state: {},
        }),
      }),
  }),
);

registerTokenizer(wordTokenizer);

const size = { dim: 16, depth: 1, heads: 2, headDim: 8 } as const;
const training = { steps: 3, batch: 2, window: 16, learningRate: 1e-2 } as const;
const text = 'the cat sat on the mat, and the dog sat by it. '.repeat(20);

it('the map computes attention, trains by its name with its option, and is saved and loaded', async () => {
  const x = Float32Array.from({ length: 96 }, (_, at) => Math.sin(at));
  const arrays = { query: x, key: x, value: x, shape: [1, 6, 2, 8] as const };
  expect(await attention(arrays, { features: { name: 'steep', steepness: 2 } })).toHaveLength(96);
  const model = await trainModel(text, {
    ...size,
    ...training,
    attention: { features: { name: 'steep', steepness: 2 } },
  });
  expect(model.config.attention).toMatchObject({ kind: 'favor+', features: { name: 'steep', steepness: 2 } });
  const loaded = await loadModel(await saveModel(model), { kind: 'language-model' });
  expect(await loaded.logits('cat')).toEqual(await model.logits('cat'));
  const wrong = createModel({ ...size, attention: { features: { name: 'steep', steepness: -1 } } });
  await expect(wrong).rejects.toThrow(/attention\.features\.steepness/);
});

it('the map and the mixer are in models of every kind, trained by every task', async () => {
  const options = { ...size, ...training, steps: 1 };
  const attentions = [{ features: { name: 'steep', steepness: 2 } }, { kind: 'scaled-values', gain: 0.5 }];
  const spoken = Array.from({ length: 8 }, (_, at) => ({
    text: text.slice(at, at + 20),
    label: at % 2 ? 'odd' : 'even',
  }));
  for (const attention of attentions) {
    const encoder = await trainModel(text, { ...options, attention, task: 'masked-language-modelling' });
    expect(encoder.config.attention).toMatchObject(attention);
    const classifier = await trainModel(spoken, { ...options, attention, task: 'classification' });
    const loaded = await loadModel(await saveModel(classifier), { kind: 'classifier' });
    expect(loaded.config.attention).toMatchObject(attention);
    expect(await loaded.classify(['the cat'])).toEqual(await classifier.classify(['the cat']));
    expect(await loaded.embed(['the cat', 'a'])).toEqual(await classifier.embed(['the cat', 'a']));
    const numbers = spoken.map((one, label) => ({ ...one, label }));
    const regressor = await trainModel(numbers, { ...options, attention, task: 'regression' });
    expect(await regressor.predict(['a'])).toEqual([{ value: expect.any(Number) }]);
  }
});

it('the mixer trains by its kind with its option', async () => {
  const model = await trainModel(text, { ...size, ...training, attention: { kind: 'scaled-values', gain: 0.5 } });
  expect(model.config.attention).toEqual({ kind: 'scaled-values', gain: 0.5 });
  expect((await model.logits('cat')).shape).toEqual([3, 256]);
});

it('the tokenizer trains, reads, generates, and is saved and loaded by its name', async () => {
  const losses: number[] = [];
  const model = await trainModel(text, {
    ...{ ...size, ...training, steps: 30, tokenizer: 'words' },
    onProgress: (told) => void (told.kind === 'step' && losses.push(told.loss)),
  });
  expect(model.config).toMatchObject({ tokenizer: 'words', vocabularySize: 264 });
  expect(losses.at(-1)).toBeLessThan(0.7 * losses[0]!);
  const [the, cat] = wordTokenizer.encode('the cat');
  const logits = await model.logits('the cat');
  expect(logits.shape).toEqual([2, 264]);
  expect(await model.logits([the!, cat!])).toEqual(logits);
  expect(await model.logits(new TextEncoder().encode('the cat'))).toEqual(logits);
  const greedy = { temperature: 0, maxTokens: 6 };
  const said = await model.generate('the cat', greedy).text();
  const files = await saveModel(model);
  expect(JSON.parse(new TextDecoder().decode(files.get('tokenizer.json')))).toEqual(wordTokenizer.json());
  const loaded = await loadModel(files, { kind: 'language-model' });
  expect(await loaded.generate('the cat', greedy).text()).toBe(said);
});

it('models of every kind read by the tokenizer', async () => {
  const options = { ...size, ...training, steps: 1, tokenizer: 'words' };
  const tokens = Array.from(wordTokenizer.encode('the cat'));
  const encoder = await trainModel(text, { ...options, task: 'masked-language-modelling' });
  expect(encoder.maskToken).toBe(264);
  expect(await encoder.embed(['the cat'])).toEqual(await encoder.embed([tokens]));
  const examples = ['the cat', 'the dog', 'cat', 'dog'].map((one) => ({ text: one, label: one.slice(-3) }));
  const classifier = await trainModel(examples, { ...options, task: 'classification' });
  expect(await classifier.classify(['the cat'])).toEqual(await classifier.classify([tokens]));
  expect(await classifier.classify([new TextEncoder().encode('the cat')])).toEqual(await classifier.classify([tokens]));
});

it('a tokenizer that nobody registered is refused by its name, and one that is not as it was by its file', async () => {
  const unknown = {
    code: 'CONFIG',
    message: expect.stringMatching(/tokenizer: expected one of bytes, words, got runes/),
  };
  await expect(createModel({ ...size, tokenizer: 'runes' })).rejects.toMatchObject(unknown);
  const files = await saveModel(await createModel({ ...size, tokenizer: 'words' }));
  const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const withFile = (content: Uint8Array) => loadModel(new Map([...files, ['tokenizer.json', content]]));
  const other = {
    code: 'CHECKPOINT',
    message: expect.stringMatching(/^tokenizer\.json: expected that of the tokenizer words/),
  };
  await expect(withFile(json({ ...wordTokenizer.json(), version: '2.0' }))).rejects.toMatchObject(other);
  await expect(withFile(json('{').subarray(0, 2))).rejects.toThrow(/^tokenizer\.json: expected JSON/);
  const entries = Object.entries(wordTokenizer.json()).reverse();
  await withFile(json(Object.fromEntries(entries))); // the order of keys says nothing
  const without = new Map(files);
  without.delete('tokenizer.json');
  await loadModel(without);
});

it('a model with other tokens than the tokenizer needs takes tokens, and no text', async () => {
  const model = await createModel({ ...size, tokenizer: 'words', vocabularySize: 300 });
  expect((await model.logits([299])).shape).toEqual([1, 300]);
  const refused = /expected a vocabularySize of 264 for the tokenizer words, got 300/;
  await expect(model.logits('the')).rejects.toThrow(refused);
  await expect(trainModel(text, { ...size, ...training, vocabularySize: 300 })).rejects.toThrow(/of 256 .* got 300/);
});

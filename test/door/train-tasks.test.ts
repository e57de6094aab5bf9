/** Training at the front door, by every task, from every form of data, and from a model. */
import { expect, expectTypeOf, it } from 'vitest';
import { type GivenText, labelledTexts } from '../../src/data/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import {
  type Classifier,
  type Encoder,
  type Loaded,
  type MultiLabelClassifier,
  type Regressor,
  type TokenClassifier,
  type TrainingProgress,
  trainModel,
} from '../../src/index.js';
import { taskNames } from '../../src/tasks/index.js';
import { halves } from '../support/image-files.js';

const size = { dim: 16, depth: 1, heads: 2, headDim: 8, attention: { features: { featureCount: 16 } } } as const;
const short = { ...size, steps: 8, batch: 4, window: 24, learningRate: 1e-2 } as const;
const running = 'the cat sat on the mat, and the dog sat by it. '.repeat(40);

const words = ['cat', 'dog', 'mat', 'hat'];
const marks = Array.from({ length: 60 }, (_, index) => index % 4);
const textOf = (count: number, index: number) => `${'!'.repeat(count)} the ${words[index % 3]} sat`;
const classified = marks.map((count, index) => ({ text: textOf(count, index), label: count > 1 ? 'loud' : 'calm' }));
const counted = marks.map((count, index) => ({ text: textOf(count, index), label: 100 + 10 * count }));

const tagged = marks.map((count, index) => {
  const tokens = ['!'.repeat(count + 1), 'the', words[index % 3]!, 'sat'];
  return { tokens, labels: tokens.map((token) => (words.includes(token) ? 'B-ANIMAL' : 'O')) };
});

async function* oneByOne<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

it('a classifier learns classes, tells its progress with accuracy, and equal seeds give equal models', async () => {
  const told: TrainingProgress[] = [];
  const options = { ...short, task: 'classification', steps: 60, heldOut: 0.2 } as const;
  const model = await trainModel(classified, { ...options, onProgress: (each) => void told.push(each) });
  expectTypeOf(model).toEqualTypeOf<Classifier & Loaded>();
  expect(model.classes).toEqual(['calm', 'loud']);
  expect((await model.classify(['!!! the hat sat', 'the hat sat'])).map(({ label }) => label)).toEqual([
    'loud',
    'calm',
  ]);
  expect(told.filter(({ kind }) => kind === 'step')).toHaveLength(60);
  const last = told.at(-1);
  expect(last).toMatchObject({ kind: 'evaluation', step: 60, steps: 60 });
  expect(last?.kind === 'evaluation' && last.measures.accuracy).toBeGreaterThan(0.8);
  const again = await trainModel(classified, options);
  expect(await again.classify(['the hat'])).toEqual(await model.classify(['the hat']));
});

it('a classifier of labels learns which of them texts have, and goes on from itself', async () => {
  const many = classified.map(({ text, label }) => ({ text, label: label === 'loud' ? ['loud', 'any'] : ['any'] }));
  const options = { ...short, task: 'multi-label-classification', steps: 60 } as const;
  const model = await trainModel(many, options);
  expectTypeOf(model).toEqualTypeOf<MultiLabelClassifier & Loaded>();
  expect(model.labels).toEqual(['any', 'loud']);
  const asked = ['!!! the hat sat', 'the hat sat'];
  expect((await model.classify(asked)).map(({ labels }) => labels)).toEqual([['any', 'loud'], ['any']]);
  const { task, steps } = { ...options, steps: 1 };
  const further = await trainModel(many.slice(0, 9), { task, steps, batch: 4, window: 24, from: model });
  expect(further.labels).toEqual(model.labels);
  await expect(trainModel(many, { ...options, classWeights: 'equal' } as never)).rejects.toThrow(/for classWeights/);
  await expect(trainModel(counted as never, options)).rejects.toThrow('expected a list of labels as target');
});

it('a regressor learns numbers in the units of the data', async () => {
  const model = await trainModel(counted, { ...short, task: 'regression', names: ['price'], steps: 120 });
  expectTypeOf(model).toEqualTypeOf<Regressor & Loaded>();
  const [none, three] = await model.predict(['the cat sat', '!!! the cat sat']);
  expect(none!.price!).toBeLessThan(115);
  expect(three!.price!).toBeGreaterThan(115);
  const pairs = counted.map(({ text, label }) => ({ text, label: [label, -label] }));
  const both = await trainModel(pairs, { ...short, task: 'regression', steps: 2 });
  expect(both.values).toEqual(['value 1', 'value 2']);
});

it('an encoder learns to guess masked tokens', async () => {
  const losses: number[] = [];
  const model = await trainModel(running, {
    ...{ ...short, task: 'masked-language-modelling', steps: 40 },
    onProgress: (each) => void (each.kind === 'step' && losses.push(each.loss)),
  });
  expectTypeOf(model).toEqualTypeOf<Encoder & Loaded>();
  expect(losses.at(-1)!).toBeLessThan(losses[0]! - 1);
  expect((await model.logits('cat')).shape).toEqual([3, 257]);
});

it('a token classifier learns from words, or from spans of texts, and may begin with an encoder', async () => {
  const options = { ...short, task: 'token-classification', steps: 60, classWeights: 'balanced' } as const;
  const told: TrainingProgress[] = [];
  const model = await trainModel(tagged, { ...options, onProgress: (each) => void told.push(each) });
  expectTypeOf(model).toEqualTypeOf<TokenClassifier & Loaded>();
  expect(told.at(-1)).toMatchObject({ kind: 'evaluation', measures: { spanF1: expect.any(Number) } });
  const [found] = await model.classify(['!! the dog sat']);
  expect(found!.spans).toEqual([{ start: 7, end: 10, label: 'ANIMAL' }]);
  const spans = tagged.map(({ tokens }) => {
    const start = `${tokens[0]} the `.length;
    return { text: tokens.join(' '), spans: [{ start, end: start + 3, label: 'ANIMAL' }] };
  });
  const same = { ...short, task: 'token-classification', steps: 1 } as const;
  const ofSpans = await trainModel(oneByOne(spans), same);
  expect(ofSpans.labels).toEqual(['B-ANIMAL', 'O']);
  const encoder = await trainModel(running, { ...short, task: 'masked-language-modelling', steps: 2 });
  const from = { task: 'token-classification', from: encoder, batch: 4, window: 24, steps: 4 } as const;
  const fresh = await trainModel(spans, { ...from, signal: AbortSignal.abort() });
  expect(await fresh.embed(['the cat'])).toEqual(await encoder.embed(['the cat']));
  await expect(trainModel(classified as never, same)).rejects.toThrow(
    'trainModel: expected a list of { tokens, labels } or { text, spans }, got an object with text, label.',
  );
});

it('every task of the registry is trained by its name', async () => {
  const kinds: string[] = [];
  const pairs = classified.map(({ text, label }) => ({ source: text, target: label }));
  const dataOf: Readonly<Record<string, unknown>> = {
    classification: classified,
    'multi-label-classification': classified.map(({ text, label }) => ({ text, label: [label] })),
    regression: counted,
    'token-classification': tagged,
    'sequence-to-sequence': pairs,
    'image-classification': halves(8),
    'image-modelling': halves(8),
  };
  for (const task of taskNames()) {
    const data = dataOf[task] ?? running;
    const { window, ...size } = short;
    const options = { ...size, steps: 1, task, ...(task.startsWith('image') ? {} : { window }) };
    const model = await trainModel(data as never, options as never);
    kinds.push((model as { readonly kind: string }).kind);
  }
  expect(kinds).toEqual([
    ...['language-model', 'encoder', 'classifier', 'multi-label-classifier', 'regressor', 'token-classifier'],
    ...['encoder-decoder', 'image-classifier', 'pixel-model'],
  ]);
});

it('data that come one by one, and sources, give what lists give', async () => {
  const options = { ...short, task: 'classification', steps: 3 } as const;
  const expected = await (await trainModel(classified, options)).classify(['cat']);
  const given = classified.map(({ text, label }): GivenText => ({ text, target: label }));
  for (const data of [oneByOne(classified), labelledTexts(given)]) {
    expect(await (await trainModel(data, options)).classify(['cat'])).toEqual(expected);
  }
  const texts = await trainModel(running, { ...short, steps: 3 });
  const pieces = await trainModel(oneByOne([running.slice(0, 99), running.slice(99)]), { ...short, steps: 3 });
  expect(await pieces.logits('cat')).toEqual(await texts.logits('cat'));
});

it('balanced classes count equally, however many texts each has', async () => {
  const uneven = classified.filter(({ label }, index) => label === 'calm' || index % 8 === 2);
  const options = { ...short, task: 'classification', steps: 1, classWeights: 'balanced' } as const;
  const { loaded } = await trainModel(uneven, options);
  const { weights } = (loaded.model.config as unknown as { targets: { weights: readonly number[] } }).targets;
  expect(weights[1]! / weights[0]!).toBeGreaterThan(2);
});

it('a training that goes on from a model begins with its weights, and leaves them as they are', async () => {
  const first = await trainModel(running, { ...short, seed: 1 });
  const before = await first.logits('the cat');
  const stopped = { signal: AbortSignal.abort() };
  const copy = await trainModel(running, { steps: 8, batch: 4, window: 24, from: first, ...stopped, seed: 2 });
  expect(copy.config).toEqual(first.config);
  expect(await copy.logits('the cat')).toEqual(before);
  const further = await trainModel(running, { steps: 8, batch: 4, window: 24, from: first, seed: 2 });
  expect(await further.logits('the cat')).not.toEqual(before);
  expect(await first.logits('the cat')).toEqual(before);
  const known = await trainModel(classified, { ...short, task: 'classification', steps: 1 });
  const same = { task: 'classification', from: known, steps: 1, batch: 4, window: 24 } as const;
  expect((await trainModel([...classified].reverse(), same)).classes).toEqual(known.classes);
  await expect(trainModel(classified, { ...same, classWeights: 'balanced' })).rejects.toThrow(/for classWeights/);
});

it.each([
  [{}, 5e-5],
  [{ loraRank: 2 }, 5e-4],
  [{ learningRate: 1e-3 }, 1e-3],
  [{ preset: 'tiny' }, 6e-3],
] as const)(
  'a training that goes on from a model has a rate that suits it, unless it is asked otherwise: %j',
  async (asked, rate) => {
    const rates: number[] = [];
    const onProgress = (event: { kind: string; learningRate?: number }) => {
      if (event.kind === 'step') rates.push(event.learningRate!);
    };
    const from = await trainModel(running, { ...short, steps: 1 });
    await trainModel(running, { steps: 1, batch: 4, window: 24, ...asked, from, onProgress });
    expect(rates).toEqual([expect.closeTo(rate, 9)]);
  },
);

it('a training by adapters leaves the weights that have none, and needs a model to go on from', async () => {
  const first = await trainModel(running, { ...short, seed: 1 });
  const lora = { steps: 8, batch: 4, window: 24, learningRate: 1e-2, loraRank: 2, loraAlpha: 4 };
  const further = await trainModel(running, { ...lora, from: first });
  expect(await further.logits('the cat')).not.toEqual(await first.logits('the cat'));
  const embedding = ({ loaded }: typeof first) => (loaded.params as { readonly embedding: object }).embedding;
  expect(embedding(further)).toEqual(embedding(first));
  await expect(trainModel(running, lora)).rejects.toThrow(
    /loraRank: expected a trained model .* Go on from one \(from\)/,
  );
});

it('a classifier that begins with an encoder has its vectors', async () => {
  const encoder = await trainModel(running, { ...short, task: 'masked-language-modelling', steps: 2 });
  const options = { task: 'classification', from: encoder, batch: 4, window: 24, steps: 4 } as const;
  const fresh = await trainModel(classified, { ...options, signal: AbortSignal.abort() });
  expect(await fresh.embed(['the cat'])).toEqual(await encoder.embed(['the cat']));
  const attending = await trainModel(classified, { ...options, pooling: 'attention' });
  expect(attending.config).toMatchObject({ dim: 16, pooling: 'attention' });
  await expect(trainModel(classified, { ...options, dim: 32 })).rejects.toThrow(/Leave out dim/);
  const numbers = await trainModel(counted, { ...short, task: 'regression', steps: 1 });
  const anew = await trainModel(classified, { ...options, from: numbers as never });
  expect(anew.classes).toEqual(fresh.classes);
});

it('data and options of another task are errors', async () => {
  const classification = { ...short, task: 'classification' } as const;
  await expect(trainModel(running as never, classification)).rejects.toThrow(/trainModel: expected a list/);
  await expect(trainModel([{ text: 'a' }] as never, classification)).rejects.toThrow(/list of \{ text, label \}/);
  await expect(trainModel(classified as never, short)).rejects.toThrow(
    /expected a text, .*, got an object with text, label/,
  );
  await expect(trainModel(counted as never, classification)).rejects.toMatchObject({ code: 'DATA' });
  await expect(trainModel(classified, { ...classification, names: ['a'] } as never)).rejects.toThrow(
    /targets for names/,
  );
  await expect(trainModel(running, { ...short, classWeights: 'equal' } as never)).rejects.toThrow(/for classWeights/);
  await expect(trainModel(running, { ...short, pooling: 'mean' } as never)).rejects.toThrow(/"pooling"/);
  await expect(trainModel(running, { ...short, task: 'translation' } as never)).rejects.toThrow(/got translation/);
  await expect(trainModel(running, { ...short, model: 'encoder' } as never)).rejects.toThrow(/Leave out model/);
  // @ts-expect-error: numbers are no classes
  await expect(trainModel([{ text: 'a', label: 1 }], classification)).rejects.toMatchObject({ code: 'DATA' });
});

it('an evaluation on an engine that computes in this thread sees the events of the page, and ends by its signal', async () => {
  const controller = new AbortController();
  const told: string[] = [];
  await trainModel('a text that is read again. '.repeat(200), {
    ...{ ...short, steps: 1, batch: 1, heldOut: 0.9, signal: controller.signal, engine: referenceEngine() },
    onProgress: ({ kind }) => {
      told.push(kind);
      setTimeout(() => controller.abort(), 0);
    },
  });
  expect(told).toEqual(['step']);
});

/** Models of every kind at the front door: what each can do, and how it is told which. */
import { expect, expectTypeOf, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import {
  type AnyModel,
  type Classifier,
  createModel,
  type Encoder,
  type LanguageModel,
  type Loaded,
  loadModel,
  type MultiLabelClassifier,
  type Regressor,
  saveModel,
  type TokenClassifier,
} from '../../src/index.js';
import { embed, predict } from '../../src/models/index.js';

const size = {
  dim: 16,
  depth: 1,
  heads: 2,
  headDim: 8,
  attention: { features: { featureCount: 16 } },
  seed: 3,
} as const;
const classes = { kind: 'classes', names: ['ham', 'spam', 'other'] } as const;
const labels = { kind: 'labels', names: ['urgent', 'private'] } as const;
const values = { kind: 'values', names: ['price', 'rooms'], means: [100, 3], deviations: [20, 1] } as const;
const texts = ['the cat sat on the mat', 'a', '', 'dogs bark'];

const models = {
  'language-model': () => createModel(size),
  encoder: () => createModel({ ...size, model: 'encoder' }),
  classifier: () => createModel({ ...size, model: 'classifier', targets: classes }),
  'token-classifier': () => createModel({ ...size, model: 'token-classifier', targets: classes }),
  'multi-label-classifier': () => createModel({ ...size, model: 'classifier', targets: labels }),
  regressor: () => createModel({ ...size, model: 'classifier', targets: values }),
} as const;

it.each(Object.entries(models))('a model of the kind %s is saved, loaded and told by its kind', async (kind, make) => {
  const model = await make();
  expect(model.kind).toBe(kind);
  expect(model.parameterCount).toBeGreaterThan(1000);
  const loaded = await loadModel(await saveModel(model));
  expect(loaded.kind).toBe(kind);
  expect(loaded.config).toEqual(model.config);
  expect(await (loaded as typeof model).embed(texts)).toEqual(await model.embed(texts));
});

it.each(Object.entries(models))('embeddings by a %s are those of the rooms', async (_, make) => {
  const model = await make();
  expect(await model.embed(texts)).toEqual(await embed(nodeEngine(), model.loaded, texts));
  const options = { pooling: 'last', normalize: true, batch: 2 } as const;
  expect(await model.embed(texts, options)).toEqual(await embed(nodeEngine(), model.loaded, texts, options));
  expect(await model.embed([])).toEqual([]);
});

it('a classifier tells the likeliest class and the probability of each', async () => {
  const model = await models.classifier();
  expect(model.classes).toEqual(classes.names);
  const told = await model.classify(texts);
  const rows = await predict(nodeEngine(), model.loaded, texts);
  expect(told.map(({ probabilities }) => Object.values(probabilities))).toEqual(rows.map((row) => Array.from(row)));
  for (const { label, probabilities } of told) {
    expect(Object.keys(probabilities)).toEqual(classes.names);
    expect(probabilities[label]).toBe(Math.max(...Object.values(probabilities)));
    expect(Object.values(probabilities).reduce((a, b) => a + b)).toBeCloseTo(1, 5);
  }
  const [cut] = await model.classify([texts[0]!], { window: 7 });
  expect(cut).toEqual((await model.classify([texts[0]!.slice(0, 7)]))[0]);
});

it('a classifier of labels tells those that are likelier than not, and the probability of each', async () => {
  const model = await models['multi-label-classifier']();
  expect(model.labels).toEqual(labels.names);
  const told = await model.classify(texts);
  const rows = await predict(nodeEngine(), model.loaded, texts);
  expect(told).toEqual(
    rows.map(([urgent, secret]) => ({
      labels: [...(urgent! > 0.5 ? ['urgent'] : []), ...(secret! > 0.5 ? ['private'] : [])],
      probabilities: { urgent, private: secret },
    })),
  );
  expect(new Set(told.flatMap(({ labels }) => labels)).size).toBeGreaterThan(0);
});

it('a token classifier tells a label of each word, of texts and of lists of words', async () => {
  const model = await models['token-classifier']();
  expect(model.labels).toEqual(classes.names);
  const [text, list, empty] = await model.classify(['the cat sat.', ['the', 'cat', 'sat', '.'], '']);
  expect(text!.words.map(({ start, end }) => [start, end])).toEqual([
    [0, 3],
    [4, 7],
    [8, 11],
    [11, 12],
  ]);
  expect(list!.words.at(-1)).toMatchObject({ start: 12, end: 13 });
  for (const { label, probability } of [...text!.words, ...list!.words]) {
    expect(classes.names).toContain(label);
    expect(probability).toBeGreaterThan(1 / 3);
  }
  expect(empty!.words).toEqual([]);
  const [cut] = await model.classify(['the cat sat.'], { window: 5 });
  expect(cut!.words.map(({ start }) => start)).toEqual([0, 4]);
  await expect(model.classify([7 as never])).rejects.toThrow(
    'classify: expected texts, or lists of words, got number.',
  );
});

it('a regressor tells numbers by their names, in the units of the data', async () => {
  const model = await models.regressor();
  expect(model.values).toEqual(values.names);
  const told = await model.predict(texts);
  expect(told).toHaveLength(4);
  expect(told.map(({ price, rooms }) => [price, rooms])).toEqual(
    (await predict(nodeEngine(), model.loaded, texts)).map((row) => Array.from(row)),
  );
  for (const { price } of told) expect(Math.abs(price! - 100)).toBeLessThan(100);
});

it('an encoder gives logits of every token, which see those behind them', async () => {
  const model = await models.encoder();
  const tokens = Array.from(new TextEncoder().encode('a cat'));
  const first = async (given: readonly number[]) => Array.from((await model.logits(given)).data.subarray(0, 257));
  expect((await model.logits('a cat')).shape).toEqual([5, 257]);
  const masked = tokens.map((token, at) => (at === 3 ? model.maskToken : token));
  expect(await first(masked)).not.toEqual(await first(tokens));
});

it('whoever knows the kind asks for it, and another is an error', async () => {
  const files = await saveModel(await models.classifier());
  const model = await loadModel(files, { kind: 'classifier' });
  expect((await model.classify(['a']))[0]!.label).toMatch(/ham|spam|other/);
  await expect(loadModel(files, { kind: 'language-model' })).rejects.toThrow(
    'loadModel: expected a model of the kind language-model, got classifier.',
  );
  await expect(loadModel(files, { kind: 'transformer' as never })).rejects.toThrow(
    /multi-label-classifier, regressor, performer, encoder-decoder, image-classifier, pixel-model as kind, got transformer/,
  );
});

it('types follow from the options and from the kind', async () => {
  expectTypeOf(models['language-model']).returns.resolves.toEqualTypeOf<LanguageModel & Loaded>();
  expectTypeOf(models['token-classifier']).returns.resolves.toEqualTypeOf<TokenClassifier & Loaded>();
  expectTypeOf(models['multi-label-classifier']).returns.resolves.toEqualTypeOf<MultiLabelClassifier & Loaded>();
  expectTypeOf(models.encoder).returns.resolves.toEqualTypeOf<Encoder & Loaded>();
  expectTypeOf(models.classifier).returns.resolves.toEqualTypeOf<Classifier & Loaded>();
  expectTypeOf(models.regressor).returns.resolves.toEqualTypeOf<Regressor & Loaded>();
  const any: AnyModel = await loadModel(await saveModel(await models.regressor()));
  // @ts-expect-error: a model of any kind does not predict
  expectTypeOf(any.predict).toBeFunction();
  if (any.kind !== 'regressor') throw new Error(any.kind);
  expectTypeOf(any).toEqualTypeOf<Regressor>();
  expect(await any.predict(['a'])).toHaveLength(1);
  // @ts-expect-error: a misspelt option
  await expect(createModel({ ...size, model: 'encoder', depht: 2 })).rejects.toThrow(/"depht"/);
});

it('options, texts and tokens that do not fit are errors', async () => {
  const model = await models.classifier();
  await expect(model.classify('a' as never)).rejects.toThrow('classify: expected a list of texts, got string.');
  await expect(model.classify([[97, 300]])).rejects.toThrow(/tokens from 0 to 256, got 300/);
  await expect(model.embed(['a'], { pooling: 'max' as never })).rejects.toThrow(/one of mean, last, first as pooling/);
  await expect(model.embed(['a'], { batch: 0 })).rejects.toMatchObject({ code: 'CONFIG' });
  await expect(createModel({ ...size, model: 'classifier' } as never)).rejects.toThrow(/targets/);
});

it('a model that is disposed of ends what is under way first, and nothing comes after', async () => {
  const model = await models.classifier();
  const [told, , late] = await Promise.allSettled([
    model.classify(Array.from({ length: 40 }, () => texts[0]!)),
    model.dispose(),
    model.classify(texts),
  ]);
  expect(told).toMatchObject({ status: 'fulfilled' });
  expect(late).toMatchObject({ status: 'rejected', reason: { code: 'USAGE' } });
});

/** Token classification: the label of each word of a text, how that is learned and measured, and what is refused. */
import { expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import { byteTokenizer, encodeWords, splitItems, tagSpans, tagWords } from '../../src/data/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import {
  createPredictor,
  createWordPredictor,
  type LoadedModel,
  modelOf,
  tokenClassifierConfig,
} from '../../src/models/index.js';
import { classTargets, taskOfModel, tokenClassification } from '../../src/tasks/index.js';
import { Evaluator, initialSnapshot, Trainer, type TrainingOptions, trainingConfig } from '../../src/training/index.js';
import { engine } from '../support/tiny.js';

const sizes = { dim: 16, depth: 2, heads: 2, headDim: 8, attention: { features: { featureCount: 16 } } };

/** Words of letters, of which some are numbers, and some runs are names that begin with a large letter. */
const given = Array.from({ length: 120 }, (_, index) => {
  const random = Random.fromSeed(4).split(index);
  const kinds = Array.from(random.split('kinds').bits(3 + random.integer(5)), (word) => word % 3);
  const letters = (at: number, first: number, count: number) =>
    String.fromCharCode(...Array.from(random.split(at).bits(2 + (at % 3)), (word) => first + (word % count)));
  const words = kinds.map((kind, at) =>
    kind === 0 ? letters(at, 97, 26) : kind === 1 ? letters(at, 48, 10) : letters(at, 65, 26),
  );
  const labels = kinds.map((kind, at) => {
    if (kind === 0) return 'O';
    return kind === kinds[at - 1] ? `I-${kind}` : `B-${kind}`;
  });
  return tagWords(words, labels);
});

const names = ['B-1', 'B-2', 'I-1', 'I-2', 'O'];
const allLabels = given.flatMap(({ labels }) => labels);
const config = tokenClassifierConfig({
  ...sizes,
  targets: classTargets({ length: allLabels.length, targets: allLabels }),
});
const texts = encodeWords(given, byteTokenizer);
const trainingOf = (options: Partial<TrainingOptions> = {}) =>
  trainingConfig({ steps: 150, batch: 8, window: 32, learningRate: 1e-2, ...options });
const split = () => splitItems(texts, 0.2, Random.fromSeed(1));
const taskOn = (data: ReturnType<typeof split>, options: Partial<TrainingOptions> = {}, own = config) =>
  tokenClassification(modelOf(own), trainingOf(options), data);
const fresh = (): LoadedModel => {
  const { params, buffers } = initialSnapshot(config, trainingOf());
  return { model: modelOf(config), params, buffers };
};

async function measured(task: ReturnType<typeof taskOn>, { params, buffers }: LoadedModel, on = engine) {
  const evaluator = new Evaluator(on, task);
  try {
    const sums = await evaluator.sums(task.evaluations[0]!, { params, buffers });
    return { sums, measures: task.measures('words', sums), details: task.details!(sums) };
  } finally {
    await evaluator.dispose();
  }
}

it('the labels of words, in the order of the alphabet, are the targets of a model that this task trains', () => {
  expect(config.targets).toEqual({ kind: 'classes', names });
  expect(modelOf(config).kind).toBe('token-classifier');
  expect(taskOfModel(modelOf(config)).name).toBe('token-classification');
});

it('a token classifier learns the labels of words and the spans that they tell', async () => {
  const trainer = await Trainer.create(initialSnapshot(config, trainingOf()), { engine, task: taskOn(split()) });
  for (let step = 0; step < 150; step++) await trainer.step();
  const { measures, chosen } = await trainer.evaluate();
  expect(measures.loss).toBe(chosen);
  expect(measures.accuracy!).toBeGreaterThan(0.9);
  expect(measures.macroF1!).toBeGreaterThan(0.9);
  expect(measures.spanF1!).toBeGreaterThan(0.85);
  const { params, buffers } = await trainer.fetchSnapshot();
  const predictor = await createWordPredictor(engine, { model: modelOf(config), params, buffers });
  const [told] = await predictor.predict([tagWords(['abc', '123', '45', 'AB', 'de'], ['O', 'O', 'O', 'O', 'O'])]);
  expect(told!.words.map(({ label }) => label)).toEqual(['O', 'B-1', 'I-1', 'B-2', 'O']);
  expect(told!.spans).toEqual([
    { start: 4, end: 10, label: '1' },
    { start: 11, end: 13, label: '2' },
  ]);
  await predictor.dispose();
  await trainer.dispose();
});

it('loss, counts and spans are those of the probabilities that predictions tell of first tokens, each text alone', async () => {
  const some = { train: texts.slice(0, 13), heldOut: texts.slice(0, 13) }; // rows that fill the last batch count nothing
  const loaded = fresh();
  const { sums, measures, details } = await measured(taskOn(some), loaded);
  const predictor = await createWordPredictor(engine, loaded, { batch: 1 });
  const told = await predictor.predict(given.slice(0, 13));
  await predictor.dispose();
  const words = given
    .slice(0, 13)
    .flatMap(({ labels }, text) => labels.map((label, at) => ({ label, told: told[text]!.words[at]!.label })));
  expect(sums.count).toBe(words.length);
  expect(measures.accuracy).toBeCloseTo(words.filter((word) => word.label === word.told).length / words.length, 6);
  const [labels, spans] = details as [
    (typeof details)[number] & { kind: 'labels' },
    (typeof details)[number] & { kind: 'spans' },
  ];
  expect(labels.tallies).toEqual(
    names.map((name) => ({
      texts: words.filter(({ label }) => label === name).length,
      told: words.filter(({ told }) => told === name).length,
      right: words.filter(({ label, told }) => label === name && told === name).length,
    })),
  );
  const keys = (list: readonly (readonly { start: number; end: number; label: string }[])[], kind: string) =>
    list.flatMap((own, text) =>
      own.filter(({ label }) => label === kind).map(({ start, end }) => `${text} ${start} ${end}`),
    );
  const real = given.slice(0, 13).map(({ text, words, labels }) =>
    labels.flatMap((label, at) => {
      if (!label.startsWith('B')) return [];
      let end = at + 1;
      while (labels[end] === `I-${label.slice(2)}`) end++;
      expect(text.length).toBeGreaterThan(0);
      return [{ start: words[at]!.start, end: words[end - 1]!.end, label: label.slice(2) }];
    }),
  );
  const found = told.map(({ spans = [] }) => spans);
  expect(spans.names).toEqual(['1', '2']);
  expect(spans.tallies).toEqual(
    ['1', '2'].map((kind) => {
      const [own, said] = [keys(real, kind), keys(found, kind)];
      return { texts: own.length, told: said.length, right: said.filter((key) => own.includes(key)).length };
    }),
  );
  expect(spans.tallies.some(({ told }) => told > 0)).toBe(true);
});

it('the engine measures what the oracle measures, and batches of other sizes the same', async () => {
  const some = { train: texts.slice(0, 5), heldOut: texts.slice(0, 5) };
  const loaded = fresh();
  const { measures } = await measured(taskOn(some), loaded);
  const slow = await measured(taskOn(some), loaded, referenceEngine());
  const alone = await measured(taskOn(some, { batch: 1 }), loaded);
  for (const [name, value] of Object.entries(measures)) {
    expect(slow.measures[name], name).toBeCloseTo(value, 4);
    expect(alone.measures[name], name).toBeCloseTo(value, 4);
  }
});

it('words behind the window count nothing, and are told nothing', async () => {
  const some = { train: texts.slice(0, 8), heldOut: texts.slice(0, 8) };
  const { sums } = await measured(taskOn(some, { window: 5 }), fresh());
  const within = given.slice(0, 8).map(({ words }) => words.filter(({ start }) => start < 5).length);
  expect(sums.count).toBe(within.reduce((a, b) => a + b));
  const predictor = await createWordPredictor(engine, fresh(), { window: 5 });
  const told = await predictor.predict(given.slice(0, 8));
  expect(told.map(({ words }) => words.length)).toEqual(within);
  await predictor.dispose();
});

it('classes count in the loss as their weights say', async () => {
  const weights = [1, 2, 3, 4, 5];
  const weighted = tokenClassifierConfig({ ...sizes, targets: { kind: 'classes', names, weights } });
  const some = { train: texts.slice(0, 3), heldOut: texts.slice(0, 3) };
  const { sums } = await measured(taskOn(some, {}, weighted), fresh());
  const labels = given.slice(0, 3).flatMap((text) => text.labels);
  expect(sums.count).toBe(labels.reduce((total, label) => total + weights[names.indexOf(label)]!, 0));
});

it('labels of no form have no spans', async () => {
  const two = tokenClassifierConfig({ ...sizes, targets: { kind: 'classes', names: ['noun', 'verb'] } });
  const some = encodeWords([tagWords(['a', 'b'], ['noun', 'verb'])], byteTokenizer);
  const { params, buffers } = initialSnapshot(two, trainingOf());
  const loaded = { model: modelOf(two), params, buffers };
  const { measures, details } = await measured(taskOn({ train: some, heldOut: some }, {}, two), loaded);
  expect(Object.keys(measures)).toEqual(['loss', 'accuracy', 'macroF1']);
  expect(details.map(({ kind }) => kind)).toEqual(['labels']);
  const predictor = await createWordPredictor(engine, loaded);
  const [told] = await predictor.predict([tagSpans('a b', [])]);
  expect(told!.spans).toBeUndefined();
  await predictor.dispose();
});

it('a run that goes on from a snapshot ends as one that was never broken', async () => {
  const begun = () => Trainer.create(initialSnapshot(config, trainingOf()), { engine, task: taskOn(split()) });
  const lossesOf = async (trainer: Trainer, count: number) => {
    const losses: number[] = [];
    for (let step = 0; step < count; step++) losses.push((await trainer.step()).loss);
    return losses;
  };
  const unbroken = await begun();
  const all = await lossesOf(unbroken, 6);
  await unbroken.dispose();
  const first = await begun();
  const before = await lossesOf(first, 3);
  const snapshot = await first.fetchSnapshot();
  await first.dispose();
  const second = await Trainer.create(snapshot, { engine, task: taskOn(split()) });
  expect([...before, ...(await lossesOf(second, 3))]).toEqual(all);
  await second.dispose();
});

it('what does not fit is refused', async () => {
  const data = split();
  expect(() => tokenClassification(modelOf(config), { ...trainingOf(), carryState: true }, data)).toThrow(
    'token-classification: expected texts for a token-classifier, got carryState.',
  );
  const other = modelOf({ ...config, model: 'classifier', pooling: 'mean' } as never);
  expect(() => tokenClassification(other, trainingOf(), data)).toThrow(/for a token-classifier, got a classifier/);
  const strange = encodeWords([tagWords(['a'], ['verb'])], byteTokenizer);
  await expect(taskOn({ train: strange, heldOut: strange }).step(0)).rejects.toThrow(
    'token-classification: expected labels among B-1, B-2, I-1, I-2, O, got verb.',
  );
  await expect(createPredictor(engine, fresh())).rejects.toThrow(
    'predict: expected a classifier, got a token-classifier.',
  );
  const ofTexts = { ...fresh(), model: other };
  await expect(createWordPredictor(engine, ofTexts)).rejects.toThrow(/expected a token-classifier, got a classifier/);
});

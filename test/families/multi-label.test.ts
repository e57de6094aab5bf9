/** Multi-label classification: which labels a text has, how that is learned and measured, and what is refused. */
import { expect, it } from 'vitest';
import { type HostTensor, mapTree, Random } from '../../src/base/index.js';
import { byteTokenizer, encodeTexts, type GivenText, labelledTexts, splitTexts } from '../../src/data/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { gradient, specsOf } from '../../src/graph/index.js';
import { classifierConfig, likelyLabels, modelOf, predict } from '../../src/models/index.js';
import {
  labelTallies,
  labelTargets,
  multiLabelClassification,
  regression,
  taskOfModel,
  valueTargets,
} from '../../src/tasks/index.js';
import { Evaluator, initialSnapshot, Trainer, type TrainingOptions, trainingConfig } from '../../src/training/index.js';
import { values } from '../support/compare.js';
import { engine } from '../support/tiny.js';

const sizes = { dim: 16, depth: 2, heads: 2, headDim: 8, attention: { features: { featureCount: 16 } } };
const names = ['loud', 'question', 'short'];

/** Texts of letters with exclamation marks, a question mark, or few letters: any of these, or none. */
const given = Array.from({ length: 160 }, (_, index): GivenText => {
  const random = Random.fromSeed(5).split(index);
  const has = names.map((name) => random.split(name).integer(2) === 1);
  const letters = Array.from(random.bits(has[2] ? 5 : 24), (word) => String.fromCharCode(97 + (word % 26))).join('');
  const text = `${has[0] ? '!!!' : ''}${has[1] ? '???' : ''}${letters}`;
  return { text, target: names.filter((_, at) => has[at]) };
});

const coded = (texts: readonly GivenText[]) => encodeTexts(labelledTexts(texts), byteTokenizer);
const texts = await coded(given);
const config = classifierConfig({ ...sizes, targets: labelTargets(texts) });
const trainingOf = (options: Partial<TrainingOptions> = {}) =>
  trainingConfig({ steps: 120, batch: 8, window: 32, learningRate: 1e-2, ...options });
const split = () => splitTexts(texts, 0.2, Random.fromSeed(1));
const taskOn = (data: ReturnType<typeof split>, options: Partial<TrainingOptions> = {}) =>
  multiLabelClassification(modelOf(config), trainingOf(options), data);

it('the labels of texts, in the order of the alphabet, are the targets of a model that this task trains', () => {
  expect(config.targets).toEqual({ kind: 'labels', names });
  const model = modelOf(config);
  expect(model.kind).toBe('multi-label-classifier');
  expect(taskOfModel(model).name).toBe('multi-label-classification');
});

it('a classifier of labels learns which of them each text has', async () => {
  const trainer = await Trainer.create(initialSnapshot(config, trainingOf()), { engine, task: taskOn(split()) });
  for (let step = 0; step < 120; step++) await trainer.step();
  const { measures, chosen } = await trainer.evaluate();
  expect(measures.loss).toBe(chosen);
  expect(measures.microF1!).toBeGreaterThan(0.9);
  expect(measures.macroF1!).toBeGreaterThan(0.9);
  expect(measures.exactMatch!).toBeGreaterThan(0.8);
  const { params, buffers } = await trainer.fetchSnapshot();
  const some = [3, 0].map((count) => given.find(({ target }) => (target as readonly string[]).length === count)!);
  const model = modelOf(config);
  const told = await predict(
    engine,
    { model, params, buffers },
    some.map(({ text }) => text as string),
  );
  expect(told.map((row) => likelyLabels(names, row))).toEqual([names, []]);
  await trainer.dispose();
});

it('the loss is the binary cross-entropy of the probabilities that predictions tell, and the counts are theirs', async () => {
  const some = await coded(given.slice(0, 13)); // not a multiple of the batch: rows that fill it count nothing
  const { params, buffers } = initialSnapshot(config, trainingOf());
  const task = taskOn({ train: some, heldOut: some });
  const evaluator = new Evaluator(engine, task);
  const sums = await evaluator.sums(task.evaluations[0]!, { params, buffers });
  await evaluator.dispose();
  const model = modelOf(config);
  const rows = await predict(
    engine,
    { model, params, buffers },
    given.slice(0, 13).map(({ text }) => text as string),
  );
  const marks = some.targets.map((target) => names.map((name) => (target as readonly string[]).includes(name)));
  const losses = rows.map((row, at) => row.map((p, label) => -Math.log(marks[at]![label] ? p : 1 - p)));
  const loss = losses.flatMap((row) => Array.from(row)).reduce((a, b) => a + b) / 39;
  expect(task.measures('texts', sums).loss).toBeCloseTo(loss, 5);
  expect(sums.count).toBe(39);
  const count = (holds: (at: number, label: number) => boolean, label: number) =>
    rows.filter((_, at) => holds(at, label)).length;
  expect(labelTallies(names, sums.sums)).toEqual(
    names.map((_, label) => ({
      texts: count((at) => marks[at]![label]!, label),
      told: count((at) => rows[at]![label]! > 0.5, label),
      right: count((at) => marks[at]![label]! && rows[at]![label]! > 0.5, label),
    })),
  );
  const exact = rows.filter((row, at) => row.every((p, label) => p > 0.5 === marks[at]![label])).length;
  expect(sums.sums.exact).toEqual(Float64Array.of(exact));
});

it('the gradient of the loss is that of finite differences, for logits of any size', async () => {
  const oracle = referenceEngine();
  const some = await coded(given.slice(0, 8)); // with marks and without
  const task = taskOn({ train: some, heldOut: some });
  const [batch] = (await task.step(0)).batches;
  const { params, buffers } = initialSnapshot(config, trainingOf());
  const build = (learned: object, drawn: object, own: never) => {
    const { total } = task.loss({ params: learned, buffers: drawn }, own, {});
    return { total, gradients: gradient(total, learned) };
  };
  const compiled = await oracle.compile(build as never, [specsOf(params), specsOf(buffers), specsOf(batch!)] as never);
  for (const bias of [0, 30, -30]) {
    const at = (step: number): object =>
      mapTree<object, HostTensor, HostTensor>(params, (leaf, path) =>
        path === 'head.bias'
          ? ({ dtype: 'float64', shape: leaf.shape, data: Float64Array.of(bias + step, bias, bias) } as never)
          : leaf,
      );
    const lossAt = async (step: number) =>
      (await compiled.run([at(step), buffers, batch] as never)) as never as {
        total: HostTensor;
        gradients: { head: { bias: HostTensor } };
      };
    const { gradients } = await lossAt(0);
    const difference = (values((await lossAt(1e-4)).total)[0]! - values((await lossAt(-1e-4)).total)[0]!) / 2e-4;
    expect(values(gradients.head.bias)[0]!).toBeCloseTo(difference, 5);
    expect(Math.abs(values(gradients.head.bias)[0]!)).toBeGreaterThan(0.01);
  }
  await compiled.dispose();
});

it('micro-F1 counts all labels together, macro-F1 leaves out those that are nowhere, and exact matches are of texts', () => {
  const task = taskOn(split());
  const of = (texts: number[], told: number[], right: number[], exact: number) =>
    task.measures('texts', {
      ...{ total: 6, count: 30 }, // ten texts of three labels
      sums: Object.fromEntries(
        Object.entries({ texts, told, right, exact: [exact] }).map(([name, own]) => [name, Float64Array.from(own)]),
      ),
    });
  const measures = of([6, 2, 0], [4, 2, 0], [3, 1, 0], 7);
  expect(measures).toEqual({
    loss: 0.2,
    microF1: expect.closeTo(8 / 14, 12),
    macroF1: expect.closeTo((6 / 10 + 2 / 4) / 2, 12),
    exactMatch: expect.closeTo(0.7, 12),
  });
  expect(of([0, 0, 0], [0, 0, 0], [0, 0, 0], 10)).toMatchObject({ microF1: 1, macroF1: 1, exactMatch: 1 });
});

it('a run that goes on from a snapshot is as if unbroken', async () => {
  const training = trainingOf({ steps: 8, accumulation: 2 });
  const run = async (from: ReturnType<typeof initialSnapshot>, until: number) => {
    const trainer = await Trainer.create(from, { engine, task: taskOn(split(), { steps: 8, accumulation: 2 }) });
    const losses: number[] = [];
    while (trainer.snapshot.step < until) losses.push((await trainer.step()).loss);
    const snapshot = structuredClone(await trainer.fetchSnapshot());
    await trainer.dispose();
    return { losses, snapshot };
  };
  const whole = await run(initialSnapshot(config, training), 8);
  const half = await run(initialSnapshot(config, training), 4);
  expect([...half.losses, ...(await run(half.snapshot, 8)).losses]).toEqual(whole.losses);
});

it('a label that the model does not know, targets of another kind, and texts without any label are errors', async () => {
  const other = await coded([{ text: 'a', target: ['loud', 'blue'] }]);
  const evaluate = async () => {
    for await (const _ of taskOn({ train: other, heldOut: other }).evaluations[0]!.batches());
  };
  await expect(evaluate()).rejects.toThrow('expected labels among loud, question, short, got blue');
  const single = labelledTexts([{ text: 'a', target: 'loud' }]);
  expect(() => labelTargets(single)).toThrow('expected a list of labels as target, got the text loud');
  expect(() => labelTargets(labelledTexts([{ text: 'a', target: [1, 2] }]))).toThrow('got 1, 2');
  expect(() => labelTargets(labelledTexts([{ text: 'a', target: [] }]))).toThrow('texts of one label at least');
  expect(() => valueTargets(texts)).toThrow('expected numbers as target, got ["');
  expect(() => regression(modelOf(config), trainingOf(), split())).toThrow('a classifier of values, got one of labels');
});

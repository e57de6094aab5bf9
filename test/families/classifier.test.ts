/** The classifier and regressor: what they read, how texts are pooled, and that they learn. */
import { describe, expect, it } from 'vitest';
import { drawBuffers, type HostTensor, initialize, int32, Random, symbol } from '../../src/base/index.js';
import {
  byteTokenizer,
  encodeTexts,
  type GivenText,
  labelledTexts,
  splitTexts,
  type Target,
} from '../../src/data/index.js';
import { type Engine, referenceEngine } from '../../src/engine/index.js';
import { spec, specsOf, type Tensor } from '../../src/graph/index.js';
import {
  type ClassifierOptions,
  classifierConfig,
  decodeModel,
  encodeModel,
  modelOf,
  type Targets,
} from '../../src/models/index.js';
import {
  classification,
  classTargets,
  regression,
  type Task,
  taskFamily,
  taskOfModel,
  valueTargets,
} from '../../src/tasks/index.js';
import { Evaluator, initialSnapshot, Trainer, type TrainingOptions, trainingConfig } from '../../src/training/index.js';
import { largestError, values } from '../support/compare.js';
import { engine } from '../support/tiny.js';

const sizes = { dim: 16, depth: 2, heads: 2, headDim: 8 };
const features = { features: { featureCount: 16 } };
const abc: Targets = { kind: 'classes', names: ['a', 'b', 'c'] };

/** Texts of a few to 40 letters, some of them exclamation marks. */
function texts(count: number, target: (marks: number) => Target | number): GivenText[] {
  return Array.from({ length: count }, (_, index) => {
    const random = Random.fromSeed(5).split(index);
    const length = 4 + random.split('length').integer(36);
    const marks = random.split('marks').integer(4);
    const letters = Array.from(random.bits(length), (word) => String.fromCharCode(97 + (word % 26)));
    const text = letters.map((letter, at) => (at < marks ? '!' : letter)).join('');
    return { text, target: target(marks) };
  });
}

const coded = (given: readonly GivenText[]) => encodeTexts(labelledTexts(given), byteTokenizer);

const classified = await coded(texts(120, (marks) => (marks > 1 ? 'loud' : 'calm')));
const counted = await coded(texts(120, (marks) => 100 + 10 * marks));

const trainingOf = (options: Partial<TrainingOptions> = {}) =>
  trainingConfig({ steps: 60, batch: 8, window: 32, learningRate: 1e-2, ...options });

function classifying(pooling: ClassifierOptions['pooling'] = 'mean', options: Partial<TrainingOptions> = {}) {
  const training = trainingOf(options);
  const config = classifierConfig({ ...sizes, attention: features, pooling, targets: classTargets(classified) });
  const data = splitTexts(classified, 0.2, Random.fromSeed(1));
  return { training, config, task: classification(modelOf(config), training, data) };
}

describe.each(['mean', 'first', 'attention'] as const)('a classifier pooled by %s', (pooling) => {
  // A first token that looks at no other tells nothing.
  const kinds = [features, 'softmax' as const, ...(pooling === 'first' ? [] : [{ kind: 'none' } as const])];
  describe.each(kinds)('with attention %o', (attention) => {
    const model = modelOf(classifierConfig({ ...sizes, attention, pooling, targets: abc }));
    const params: object = initialize(model.params, Random.fromSeed(1));
    const query = (params as { pooling?: { query: HostTensor } }).pooling?.query;
    query?.data.set(Random.fromSeed(3).normals(query.data.length));
    const buffers: object = drawBuffers(model.buffers, Random.fromSeed(2));
    const rows = [7, 20, 0].map((length) => Array.from({ length }, (_, at) => (at * 37 + length) % 256));

    async function outputs(on: Engine, given: readonly (readonly number[])[], length: number) {
      const compiled = await on.compile(
        (learned: object, drawn: object, { tokens, lengths }: { tokens: Tensor<'int32'>; lengths: Tensor<'int32'> }) =>
          model.apply({ params: learned, buffers: drawn }, { tokens, lengths }).output,
        [
          specsOf(params),
          specsOf(buffers),
          { tokens: spec('int32', [symbol('batch'), symbol('length')]), lengths: spec('int32', [symbol('batch')]) },
        ],
      );
      const tokens = given.flatMap((row) => [...row, ...new Array<number>(length - row.length).fill(99)]);
      const lengths = int32(
        [given.length],
        given.map((row) => row.length),
      );
      const output = await compiled.run([
        params,
        buffers,
        { tokens: int32([given.length, length], tokens), lengths },
      ] as never);
      await compiled.dispose();
      return output as HostTensor;
    }

    it('gives on the engine what the oracle gives, one row for each text', async () => {
      const [fast, slow] = [await outputs(engine, rows, 20), await outputs(referenceEngine(), rows, 20)];
      expect(fast.shape).toEqual([3, 3]);
      expect(largestError(fast, slow)).toBeLessThan(1e-4);
    });

    it('gives a padded row what it gives the row alone, and an empty text finite numbers', async () => {
      const together = values(await outputs(engine, rows, 23));
      expect(together.every(Number.isFinite)).toBe(true);
      const alone = [...values(await outputs(engine, [rows[0]!], 7)), ...values(await outputs(engine, [rows[1]!], 20))];
      const difference = alone.map((value, at) => Math.abs(value - together[at]!));
      expect(Math.max(...difference)).toBeLessThan(1e-5);
    });
  });

  it('learns a separable problem', async () => {
    const { config, training, task } = classifying(pooling);
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    for (let step = 0; step < 60; step++) await trainer.step();
    const { measures, chosen } = await trainer.evaluate();
    expect(measures.loss).toBe(chosen);
    expect(measures.accuracy!).toBeGreaterThan(0.9);
    expect(measures.macroF1!).toBeGreaterThan(0.9);
    await trainer.dispose();
  });
});

describe('a layer before the head', () => {
  it.each(['tanh', 'relu'] as const)('with %s is learned from with the rest', async (headLayer) => {
    const training = trainingOf();
    const config = classifierConfig({ ...sizes, attention: features, headLayer, targets: classTargets(classified) });
    const data = splitTexts(classified, 0.2, Random.fromSeed(1));
    const task = classification(modelOf(config), training, data);
    const snapshot = initialSnapshot(config, training);
    type Layer = { readonly headLayer: { readonly weight: HostTensor } };
    const before = Float32Array.from((snapshot.params as Layer).headLayer.weight.data);
    const trainer = await Trainer.create(snapshot, { engine, task });
    for (let step = 0; step < 60; step++) await trainer.step();
    expect((await trainer.evaluate()).measures.accuracy!).toBeGreaterThan(0.9);
    const { params } = await trainer.fetchSnapshot();
    await trainer.dispose();
    expect((params as Layer).headLayer.weight.data).not.toEqual(before);
  });
});

describe('classification', () => {
  it('goes on from a snapshot as if unbroken, with several batches a step', async () => {
    const { config, training, task } = classifying('attention', { accumulation: 2 });
    const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
    const losses: number[] = [];
    for (let step = 0; step < 12; step++) losses.push((await trainer.step()).loss);
    await trainer.dispose();
    const first = await Trainer.create(initialSnapshot(config, training), { engine, task });
    for (let step = 0; step < 6; step++) await first.step();
    const snapshot = structuredClone(await first.fetchSnapshot());
    await first.dispose();
    const second = await Trainer.create(snapshot, { engine, task: classifying('attention', { accumulation: 2 }).task });
    for (let step = 6; step < 12; step++) expect((await second.step()).loss).toBe(losses[step]);
    await second.dispose();
  });

  it('counts each held-out text once in the confusion matrix, whatever the batch', async () => {
    const { config, task } = classifying('mean', { batch: 7 });
    const { params, buffers } = initialSnapshot(config, trainingOf());
    const evaluator = new Evaluator(engine, task);
    const { sums } = await evaluator.sums(task.evaluations[0]!, { params, buffers });
    await evaluator.dispose();
    const [calmAsCalm, calmAsLoud, loudAsCalm, loudAsLoud] = sums.confusion!;
    const heldOut = splitTexts(classified, 0.2, Random.fromSeed(1)).heldOut.targets;
    expect(calmAsCalm! + calmAsLoud!).toBe(heldOut.filter((target) => target === 'calm').length);
    expect(loudAsCalm! + loudAsLoud!).toBe(heldOut.filter((target) => target === 'loud').length);
  });

  it('measures accuracy and macro-F1 from the confusion matrix', () => {
    const { task } = classifying();
    const sums = { confusion: Float64Array.from([6, 2, 1, 3]) };
    const measures = task.measures('texts', { total: 6, count: 12, sums });
    expect(measures.loss).toBe(0.5);
    expect(measures.accuracy).toBeCloseTo(9 / 12, 12);
    expect(measures.macroF1).toBeCloseTo((12 / 15 + 6 / 9) / 2, 12); // 2·right/(texts + told)
  });

  it('weighs each text by the weight of its class', async () => {
    const weighted = { ...classTargets(classified), weights: [3, 0.5] };
    const training = trainingOf({ batch: 4 });
    const given: GivenText[] = [
      { text: 'abc', target: 'calm' },
      { text: '!!!', target: 'loud' },
    ];
    const all = await coded([...given, ...given]);
    const lossOf = async (targets: Targets, own: typeof all) => {
      const config = classifierConfig({ ...sizes, attention: features, targets });
      const task = classification(modelOf(config), training, { train: own, heldOut: own });
      const { params, buffers } = initialSnapshot(config, training);
      const evaluator = new Evaluator(engine, task);
      const { chosen } = await evaluator.run({ params, buffers });
      await evaluator.dispose();
      return chosen;
    };
    const equal = classTargets(classified);
    const calm = await lossOf(equal, await coded([given[0]!]));
    const loud = await lossOf(equal, await coded([given[1]!]));
    expect(await lossOf(weighted, all)).toBeCloseTo((3 * calm + 0.5 * loud) / 3.5, 5);
    const balanced = classTargets(await coded([...given, given[0]!]), 'balanced');
    expect(balanced).toEqual({ kind: 'classes', names: ['calm', 'loud'], weights: [0.75, 1.5] });
  });

  it('refuses a class that the model does not know, and texts whose targets are numbers', async () => {
    const { config, training } = classifying();
    const other = await coded([{ text: 'a', target: 'mute' }]);
    const task = classification(modelOf(config), training, { train: other, heldOut: other });
    await expect(task.step(0)).rejects.toThrow('expected a class among calm, loud, got mute');
    expect(() => classTargets(counted)).toThrow('expected the name of a class');
  });
});

describe('regression', () => {
  const training = trainingOf();
  const config = classifierConfig({ ...sizes, attention: features, targets: valueTargets(counted) });
  const data = splitTexts(counted, 0.2, Random.fromSeed(1));
  const task: Task = regression(modelOf(config), training, data);

  it('learns values in their own units, whose means and deviations are kept with the model', async () => {
    const snapshot = initialSnapshot(config, training);
    const trainer = await Trainer.create(snapshot, { engine, task });
    for (let step = 0; step < 60; step++) await trainer.step();
    const { measures } = await trainer.evaluate();
    const { params, buffers } = await trainer.fetchSnapshot();
    await trainer.dispose();
    const deviation = (config.targets as { deviations: number[] }).deviations[0]!;
    expect(measures.meanSquaredError!).toBeCloseTo(deviation ** 2 * measures.loss!, 4);
    expect(measures.r2!).toBeGreaterThan(0.8);
    const again = decodeModel(encodeModel({ model: task.model, params, buffers }));
    expect(again.model.config).toEqual(config);
  });

  it('takes the loss in standard units, and r² against the variance of the held-out values', () => {
    const sums = {
      errors: Float64Array.of(2),
      targets: Float64Array.of(2),
      squares: Float64Array.of(6),
    };
    const { loss, r2 } = task.measures('texts', { total: 2, count: 4, sums });
    expect(loss).toBe(0.5);
    expect(r2).toBeCloseTo(1 - 2 / (6 - 4 / 4), 12);
  });

  it('refuses texts with another number of values, and names', async () => {
    const two = await coded([{ text: 'a', target: [1, 2] }]);
    const wrong = regression(modelOf(config), training, { train: two, heldOut: two });
    await expect(wrong.step(0)).rejects.toThrow('expected 1 values of a text, got 2');
    expect(() => valueTargets(classified)).toThrow('expected numbers as target');
  });
});

describe('targets', () => {
  it('decide which task trains a classifier', () => {
    const of = (targets: Targets) => taskOfModel(modelOf(classifierConfig({ ...sizes, targets }))).name;
    expect(of(abc)).toBe('classification');
    expect(of({ kind: 'values', names: ['height'] })).toBe('regression');
    expect(taskFamily('classification').data).toBe('labelled');
    expect(taskFamily('language-modelling').data).toBe('text');
  });

  it.each<[string, Targets, string]>([
    ['one class', { kind: 'classes', names: ['a'] }, 'targets.names'],
    ['a name twice', { kind: 'values', names: ['a', 'a'] }, 'each name once'],
    ['too few weights', { ...abc, weights: [1] } as Targets, 'targets.weights: expected 3'],
    ['a deviation of zero', { kind: 'values', names: ['a'], deviations: [0] }, 'targets.deviations'],
  ])('are refused with %s', (_, targets, message) => {
    expect(() => classifierConfig({ ...sizes, targets })).toThrow(message);
  });
});

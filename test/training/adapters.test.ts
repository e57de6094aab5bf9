/** Training by low-rank adapters: what they compute, what learns and what stays, and what is kept of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { float32, type HostTensor, leavesOf, mapTree, Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { type AnyTensor, gradient, specsOf } from '../../src/graph/index.js';
import { type LanguageModelOptions, languageModelConfig, modelOf, type PassOptions } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';
import type { Batch, Task } from '../../src/tasks/index.js';
import { adaptedTask } from '../../src/training/adapters.js';
import {
  Evaluator,
  runTraining,
  type Snapshot,
  snapshotFrom,
  Trainer,
  type TrainingOptions,
  trainingConfig,
  weightsOfSnapshot,
} from '../../src/training/index.js';
import { CheckpointFolder, loadLatestSnapshot } from '../../src/training/node.js';
import { largestError } from '../support/compare.js';
import { engine, leafAt, snapshotOf, taskFor, tinyModel, tinyTraining, trainerFor } from '../support/tiny.js';

const lora = { loraRank: 2, loraAlpha: 3 };

/** A model that counts as trained, and the first snapshot of a training of it by adapters, without `absent` among what is known. */
function begin(model: Partial<LanguageModelOptions> = {}, training: Partial<TrainingOptions> = {}, absent?: string) {
  const trained = snapshotOf(model, { seed: 5 });
  const known = Object.fromEntries(Object.entries(trained.params).filter(([name]) => name !== absent));
  const fresh = snapshotOf(model, { ...lora, ...training });
  return { trained, snapshot: snapshotFrom(fresh, { params: known, buffers: trained.buffers }) };
}

const leaves = (tree: object) => leavesOf<object, HostTensor>(tree);

/** The snapshot with adapters that change something. */
function moved(snapshot: Snapshot): Snapshot {
  const params = mapTree<object, HostTensor, HostTensor>(snapshot.params, (leaf, path) => {
    const random = Random.fromSeed(9).split(path);
    return path.endsWith('.up') ? { ...leaf, data: Float32Array.from(random.normals(leaf.data.length)) } : leaf;
  });
  return { ...snapshot, params };
}

/** The gradients of a task by float64. */
async function gradientsOf(task: Task, weights: { params: object; buffers: object }, options: PassOptions) {
  const { batches } = await task.step(0);
  const compiled = await referenceEngine().compile(
    (params: object, buffers: object, batch: Batch<AnyTensor>) =>
      gradient(task.loss({ params, buffers }, batch, options).total, params) as object,
    [specsOf(weights.params), specsOf(weights.buffers), specsOf(batches[0] as object)] as never,
  );
  return (await compiled.run([weights.params, weights.buffers, batches[0]] as never)) as object;
}

describe('the gradients of adapters are those that follow from the gradient of the weights with the adapters in them', () => {
  it.each<[string, Partial<LanguageModelOptions>, PassOptions]>([
    ['FAVOR+', {}, {}],
    ['gated layers and exact attention', { attention: 'softmax', activation: 'swiglu' }, {}],
    ['blocks that are computed again', {}, { recompute: true }],
    ['a reversible model', { reversible: true }, {}],
  ])('%s', async (_, model, options) => {
    const snapshot = moved(begin(model, { window: 8, batch: 1 }).snapshot);
    const { params, base, buffers } = snapshot;
    const task = await taskFor(snapshot);
    const own = await gradientsOf(adaptedTask(task, snapshot), { params, buffers: { ...buffers, base } }, options);
    const whole = await gradientsOf(task, weightsOfSnapshot(snapshot), options);
    const scale = lora.loraAlpha / lora.loraRank;
    const adapters = leaves(params).filter(([path]) => path.endsWith('.down'));
    expect(adapters).toHaveLength(2 * (model.activation === 'swiglu' ? 7 : 6));
    for (const [path, down] of adapters) {
      const name = path.slice(0, -'.down'.length);
      const up = leafAt(params, `${name}.up`);
      const of = leafAt(whole, name.replace(/adapter$/, 'weight'));
      const [inputs, outputs, rank] = [down.shape[0] as number, up.shape[1] as number, lora.loraRank];
      const [ofDown, ofUp] = [new Float32Array(inputs * rank), new Float32Array(rank * outputs)];
      for (let i = 0; i < inputs; i++) {
        for (let r = 0; r < rank; r++) {
          for (let o = 0; o < outputs; o++) {
            const own = scale * of.data[i * outputs + o]!;
            ofDown[i * rank + r]! += own * up.data[r * outputs + o]!;
            ofUp[r * outputs + o]! += own * down.data[i * rank + r]!;
          }
        }
      }
      expect(Math.max(...ofDown.map(Math.abs)), path).toBeGreaterThan(1e-3);
      expect(largestError(leafAt(own, `${name}.down`), float32([inputs, rank], ofDown)), path).toBeLessThan(1e-4);
      expect(largestError(leafAt(own, `${name}.up`), float32([rank, outputs], ofUp)), path).toBeLessThan(1e-4);
    }
  });
});

it('before the first step the model is the one that it goes on from', async () => {
  const { trained, snapshot } = begin();
  const trainer = await trainerFor(snapshot);
  const expected = await new Evaluator(engine, await taskFor(trained)).run(trained);
  expect((await trainer.evaluate()).measures).toEqual(expected.measures);
  await trainer.dispose();
});

it('adapters learn and what is new, and all else stays as it was to the last bit', async () => {
  const { trained, snapshot } = begin({}, { steps: 12, learningRate: 3e-2 }, 'norm');
  const trainer = await trainerFor(snapshot);
  const learned = leaves(snapshot.params).map(([path]) => path);
  expect(learned.filter((path) => !path.includes('.adapter.'))).toEqual(['norm.weight', 'norm.bias']);
  expect(leaves(snapshot.moments.firstMoment).map(([path]) => path)).toEqual(learned);
  const before = (await trainer.evaluate()).chosen;
  for (let step = 0; step < 12; step++) await trainer.step();
  const after = await trainer.evaluate();
  expect(after.chosen).toBeLessThan(before - 0.3);
  const fetched = await trainer.fetchSnapshot();
  const weights = weightsOfSnapshot(fetched);
  const changed = leaves(weights.params).filter(
    ([path, { data }]) => Buffer.compare(bytesOf(data), bytesOf(leafAt(trained.params, path).data)) !== 0,
  );
  const matrices = leaves(trained.params).filter(
    ([path, { shape }]) => path.startsWith('blocks') && shape.length === 2,
  );
  expect(changed.map(([path]) => path)).toEqual([...matrices.map(([path]) => path), 'norm.weight', 'norm.bias']);
  const merged = await new Evaluator(engine, await taskFor(trained)).run(weights);
  expect(Math.abs(merged.chosen - after.chosen)).toBeLessThan(1e-5);
  await trainer.dispose();
});

const bytesOf = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

describe('in a folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'performer-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it.each<[string, Partial<LanguageModelOptions>, Partial<TrainingOptions>]>([
    ['several batches a step', {}, { accumulation: 2 }],
    ['carried states, and projections that are drawn again', {}, { carryState: true, redrawInterval: 3 }],
    [
      'measured buffers',
      { attention: { features: { name: 'sderf', featureCount: 16 } } as never },
      { redrawInterval: 3 },
    ],
  ])('a run that is taken up again ends as one that never stopped: %s', async (_, model, training) => {
    const fresh = () => begin(model, training, 'norm').snapshot;
    const unbroken = await trainerFor(fresh());
    for await (const _event of runTraining(unbroken));
    const first = await trainerFor(fresh());
    const store = await CheckpointFolder.open(folder);
    const stop = new AbortController();
    for await (const { kind, step } of runTraining(first, { store, signal: stop.signal })) {
      if (kind === 'step' && step === 3) stop.abort();
    }
    await store.close();
    const resumed = await CheckpointFolder.resume(folder);
    expect(resumed.snapshot.step).toBe(3);
    const second = await trainerFor(resumed.snapshot);
    for await (const _event of runTraining(second, { store: resumed.store }));
    await resumed.store.close();
    const [expected, got] = await Promise.all([unbroken, second].map((trainer) => trainer.fetchSnapshot()));
    const contents = ({ params, moments, base, buffers, states }: Snapshot) => ({
      params,
      moments,
      base,
      buffers,
      states,
    });
    expect(contents(got!)).toEqual(contents({ ...expected!, base: got!.base }));
    for (const [path, leaf] of leaves(got!.base!)) {
      if (!path.startsWith('norm.')) expect(leaf.data, path).toEqual(leafAt(expected!.base!, path).data);
    }
    for (const trainer of [unbroken, first, second]) await trainer.dispose();
  });

  it('a checkpoint is an ordinary model, with the adapters in its weights', async () => {
    const snapshot = moved(begin({}, {}, 'norm').snapshot);
    const store = await CheckpointFolder.open(folder);
    await store.save(snapshot);
    await store.close();
    const { params } = await loadModel(folder);
    expect(leaves(params)).toEqual(leaves(weightsOfSnapshot(snapshot).params));
    const loaded = await loadLatestSnapshot(folder);
    expect(leaves(loaded.params)).toEqual(leaves(snapshot.params));
  });
});

describe('it is told of', () => {
  it('a rank above that of a matrix', () => {
    expect(() => begin({}, { loraRank: 17 })).toThrow(
      /loraRank: expected at most 16, the rank of blocks\.0\.attention\.query\.weight \[16, 16\], got 17\. Choose a lower one/,
    );
  });

  it('first weights, which nothing has taught', async () => {
    const snapshot = snapshotOf({}, lora);
    const task = await taskFor(snapshot);
    await expect(Trainer.create(snapshot, { engine, task })).rejects.toThrow(
      /loraRank: expected a trained model for adapters to change, got first weights/,
    );
  });

  it.each<[string, Partial<TrainingOptions>, RegExp]>([
    ['a rank of 0', { loraRank: 0 }, /loraRank: .*>=1/],
    ['alpha without a rank', { loraAlpha: 8 }, /loraAlpha: only a training with a loraRank has it/],
    ['an alpha of 0', { loraRank: 2, loraAlpha: 0 }, /loraAlpha: .*>0/],
  ])('%s', (_, options, message) => {
    expect(() => trainingConfig({ ...tinyTraining, ...options })).toThrow(message);
  });

  it('nothing where all is well, and alpha is twice the rank unless given', () => {
    expect(trainingConfig({ ...tinyTraining, loraRank: 4 })).toMatchObject({ loraRank: 4, loraAlpha: 8 });
    expect(trainingConfig(tinyTraining)).not.toHaveProperty('loraRank');
  });
});

it('features that learn are no matrices with adapters', () => {
  const features = { name: 'hedgehog' } as never;
  const { params } = modelOf(languageModelConfig({ ...tinyModel, attention: { features } }));
  const names = leaves(params)
    .map(([path]) => path)
    .filter((path) => path.includes('features'));
  expect(names.length).toBeGreaterThan(0);
  const { snapshot } = begin({ attention: { features } });
  expect(leaves(snapshot.params).filter(([path]) => path.includes('features'))).toEqual([]);
});

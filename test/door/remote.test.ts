/** The front door through messages, as a page and its worker use it; here both ends are in one thread. */
import { afterEach, expect, it } from 'vitest';
import { bytesSource, labelledTexts } from '../../src/data/index.js';
import type { MessageEnd } from '../../src/door/remote-calls.js';
import { Connection, type RemotePerformer, remotePerformer } from '../../src/door/remote-performer.js';
import { serve } from '../../src/door/serve.js';
import { inGpuWorker } from '../../src/door/web-gpu-worker.js';
import { inWorker } from '../../src/door/worker.js';
import { nodeEngine } from '../../src/engine/node.js';
import { attention, createModel, loadModel, saveModel, type TrainingProgress, trainModel } from '../../src/index.js';

const size = { dim: 16, depth: 1, heads: 2, headDim: 8 } as const;
const short = { ...size, steps: 4, batch: 2, window: 16, learningRate: 1e-2 } as const;
const text = 'the cat sat on the mat, and the dog sat by it. '.repeat(20);

const open: { close(): void }[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

async function connected(): Promise<RemotePerformer> {
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  serve(port1 as unknown as MessageEnd, async ({ threads }) => nodeEngine({ threads }));
  const connection = new Connection(port2 as unknown as MessageEnd);
  await connection.call('start', [{ threads: 1 }]);
  return remotePerformer(connection, () => port1.close());
}

it('attention, models, training and files are those of this thread', async () => {
  const remote = await connected();
  const x = Float32Array.from({ length: 96 }, (_, at) => Math.sin(at));
  const arrays = { query: x, key: x, value: x, shape: [1, 6, 2, 8] as const };
  expect(await remote.attention(arrays, { isCausal: true })).toEqual(await attention(arrays, { isCausal: true }));
  const own = await createModel({ ...size, seed: 2 });
  const other = await remote.createModel({ ...size, seed: 2 });
  expect(other.config).toEqual(own.config);
  expect(other.parameterCount).toBe(own.parameterCount);
  expect(await other.logits('cat')).toEqual(await own.logits('cat'));
  expect(await other.generate('a', { maxTokens: 9 }).text()).toBe(await own.generate('a', { maxTokens: 9 }).text());
  const files = await saveModel(other);
  expect(await (await loadModel(files, { kind: 'language-model' })).logits('cat')).toEqual(await own.logits('cat'));
  expect(await (await remote.loadModel(files, { kind: 'language-model' })).logits('cat')).toEqual(
    await own.logits('cat'),
  );
  await other.dispose();
  await expect(other.logits('cat')).rejects.toMatchObject({ code: 'USAGE' });
});

it('training tells its progress, and a signal ends it with the model so far', async () => {
  const remote = await connected();
  const told: TrainingProgress[] = [];
  const trained = await remote.trainModel(text, { ...short, onProgress: (each) => void told.push(each) });
  expect(told.map(({ kind }) => kind)).toEqual(['step', 'step', 'step', 'step', 'evaluation']);
  expect(await trained.logits('the')).toEqual(await (await trainModel(text, short)).logits('the'));
  const controller = new AbortController();
  let steps = 0;
  await remote.trainModel(text, {
    ...{ ...short, steps: 100_000, signal: controller.signal },
    onProgress: () => {
      steps += 1;
      if (steps === 3) controller.abort();
    },
  });
  expect(steps).toBeGreaterThanOrEqual(3);
  expect(steps).toBeLessThan(100_000);
});

it('a generation ends by its signal or with the loop, and errors keep their code', async () => {
  const remote = await connected();
  const model = await remote.createModel(size);
  const controller = new AbortController();
  const endless = model.generate('a', { maxTokens: 1_000_000, signal: controller.signal });
  const reading = (async () => {
    for await (const piece of endless) if (piece !== '') controller.abort(new Error('enough'));
  })();
  await expect(reading).rejects.toThrow('enough');
  for await (const piece of model.generate('a', { maxTokens: 1_000_000 })) {
    expect(piece).not.toBe('');
    break;
  }
  await expect(model.logits([999])).rejects.toMatchObject({ name: 'PerformerError', code: 'DATA' });
  await expect(remote.createModel({ width: 1 } as never)).rejects.toThrow(/createModel: expected valid options/);
});

it('what is under way when the worker ends is an error, and Node is told that it needs none', async () => {
  const remote = await connected();
  const training = remote.trainModel(text, { ...short, steps: 50 });
  remote.dispose();
  await expect(training).rejects.toMatchObject({ code: 'USAGE' });
  await expect(remote.createModel(size)).rejects.toMatchObject({ code: 'USAGE' });
  await import('onnxruntime-web'); // which sets a Worker of its own
  await expect(inWorker()).rejects.toThrow(/inWorker: expected a browser/);
  await expect(inGpuWorker()).rejects.toThrow(/inGpuWorker: expected a browser/);
});

it('models of every kind train, tell and are loaded there, and go on from one another', async () => {
  const remote = await connected();
  const examples = Array.from({ length: 20 }, (_, at) => ({
    text: text.slice(at, at + 12),
    label: at % 2 ? 'odd' : 'even',
  }));
  const classification = { ...short, task: 'classification' } as const;
  const classifier = await remote.trainModel(examples, classification);
  const own = await trainModel(examples, classification);
  expect(classifier).toMatchObject({ kind: 'classifier', classes: ['even', 'odd'], config: own.config });
  expect(await classifier.classify(['the', 'cat'])).toEqual(await own.classify(['the', 'cat']));
  expect(await classifier.embed(['the', 'cat'], { pooling: 'last' })).toEqual(
    await own.embed(['the', 'cat'], { pooling: 'last' }),
  );
  const again = await remote.loadModel(await saveModel(classifier), { kind: 'classifier' });
  expect(await again.classify(['the'])).toEqual(await own.classify(['the']));
  const any = await remote.loadModel(await saveModel(classifier));
  expect(any.kind).toBe('classifier');
  const wrong = remote.loadModel(await saveModel(classifier), { kind: 'encoder' });
  await expect(wrong).rejects.toMatchObject({ code: 'CONFIG' });
  const numbers = examples.map((one, label) => ({ ...one, label }));
  const regressor = await remote.trainModel(numbers, { ...short, task: 'regression' });
  expect(await regressor.predict(['the'])).toEqual([{ value: expect.any(Number) }]);
  const lists = examples.map(({ text }) => ({ text, label: ['any'] }));
  const labelling = await remote.trainModel(lists, { ...short, task: 'multi-label-classification' });
  expect(labelling.labels).toEqual(['any']);
  expect((await labelling.classify(['the']))[0]!.probabilities).toEqual({ any: expect.any(Number) });
  const tagged = examples.map(() => ({ tokens: ['the', 'cat'], labels: ['O', 'B-ANIMAL'] }));
  const tagger = await remote.trainModel(tagged, { ...short, task: 'token-classification' });
  expect(tagger.labels).toEqual(['B-ANIMAL', 'O']);
  expect((await tagger.classify(['the cat']))[0]!.words).toHaveLength(2);
  const encoder = await remote.trainModel(text, { ...short, task: 'masked-language-modelling' });
  expect((await encoder.logits([encoder.maskToken])).shape).toEqual([1, 257]);
  const sizes = { steps: 1, batch: 2, window: 16 } as const;
  const further = await remote.trainModel(examples, { ...sizes, task: 'classification', from: encoder });
  expect(further.config).toMatchObject({ model: 'classifier', dim: 16 });
  const here = await createModel({ ...size, model: 'encoder' });
  const foreign = remote.trainModel(examples, { ...sizes, task: 'classification', from: here });
  await expect(foreign).rejects.toThrow(/expected a model of this worker to go on from/);
});

it('data that come one by one, and sources, are gathered for the worker', async () => {
  const remote = await connected();
  async function* pieces() {
    yield text.slice(0, 50);
    yield text.slice(50);
  }
  const expected = await (await trainModel(text, short)).logits('the');
  for (const data of [pieces(), bytesSource(new TextEncoder().encode(text))]) {
    expect(await (await remote.trainModel(data, short)).logits('the')).toEqual(expected);
  }
  const given = Array.from({ length: 20 }, (_, at) => ({ text: text.slice(at, at + 12), target: at }));
  const model = await remote.trainModel(labelledTexts(given), { ...short, task: 'regression' });
  expect(model.values).toEqual(['value']);
});

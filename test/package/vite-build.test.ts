/** A page that Vite builds from the package computes, with nothing said of the runtime's files, and asks nobody else. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { causalAttention } from '../../src/attention/index.js';
import { float32 } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { positiveFeatures } from '../../src/features/index.js';
import { spec } from '../../src/graph/index.js';
import { createModel } from '../../src/index.js';
import { buildPage, executablePath, gpuFlags, type Shown, show } from './built-page.js';

const shape = [1, 6, 1, 2];
const rows = [1, 0.5, -0.25, 1];
const values = Array.from({ length: 12 }, (_, at) => Math.sin(at));

/** What a page computes. */
const attend = `
import { causalAttention } from 'performer-ts/attention';
import { float32 } from 'performer-ts/base';
import { positiveFeatures } from 'performer-ts/features';
import { spec } from 'performer-ts/graph';

export async function attend(engine) {
  const type = spec('float32', ${JSON.stringify(shape)});
  const attention = await engine.compile(
    (inputs, { rows }) => causalAttention(inputs, positiveFeatures(rows)).output,
    [{ query: type, key: type, value: type }, { rows: float32([2, 2], ${JSON.stringify(rows)}) }],
  );
  const x = float32(${JSON.stringify(shape)}, ${JSON.stringify(values)});
  const { data } = await attention.run([{ query: x, key: x, value: x }, {}]);
  return [...data];
}`;

const compute = `
import { attend } from './attend.js';
import { webEngine } from 'performer-ts/engine/web';
const result = webEngine({ threads: 2 }).then(attend).then(JSON.stringify, String);`;

const onPage = `${compute}\nresult.then((text) => { document.title = text; });`;
const inWorker = {
  'page.js': `
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }) => { document.title = data; };`,
  'worker.js': `${compute}\nresult.then((text) => postMessage(text));`,
};

async function expected(): Promise<number[]> {
  const type = spec('float32', shape);
  const attention = await referenceEngine().compile(
    (inputs, features) => causalAttention(inputs, positiveFeatures(features.rows)).output,
    [{ query: type, key: type, value: type }, { rows: float32([2, 2], rows) }],
  );
  const x = float32(shape, values);
  const { data } = await attention.run([{ query: x, key: x, value: x }, {}] as never);
  return Array.from(data);
}

async function expectRight({ title, isIsolated, origin, requests }: Shown): Promise<void> {
  const numbers = await expected();
  expect(title).toMatch(/^\[/);
  const got = JSON.parse(title) as number[];
  expect(got).toHaveLength(numbers.length);
  got.forEach((value, at) => {
    expect(value).toBeCloseTo(numbers[at]!, 5);
  });
  expect(isIsolated).toBe(true);
  expect(requests.filter((url) => new URL(url).origin !== origin)).toEqual([]);
  expect(requests.filter((url) => url.endsWith('.wasm'))).toHaveLength(1);
}

describe.skipIf(!existsSync(executablePath))('in Chromium (skipped where it is not installed)', () => {
  it('a built page computes attention with threads, sends nothing elsewhere and is without the files of WebGPU', async () => {
    const built = await buildPage({ 'page.js': onPage, 'attend.js': attend });
    expect(built.files.filter((name) => name.endsWith('.wasm'))).toEqual([expect.not.stringContaining('asyncify')]);
    await expectRight(await show(built));
  });

  it('a built worker does', async () => {
    await expectRight(await show(await buildPage({ ...inWorker, 'attend.js': attend })));
  });

  it('threads that the browser refuses, and files that are not served, are errors that say what to do', async () => {
    const built = await buildPage({ 'page.js': onPage, 'attend.js': attend });
    const advice =
      /^PerformerError: webEngine: expected ONNX Runtime to load .*Serve .*wasmPaths: see docs\/engines\.md/;
    const refused = await show(built, (path) => path.endsWith('.mjs'));
    expect(refused.title).toMatch(/a thread that did not start/);
    expect(refused.title).toMatch(advice);
    await rm(join(built.folder, 'assets', built.files.find((name) => name.endsWith('.mjs'))!));
    const missing = await show(built);
    expect(missing.title).toMatch(advice);
  });
});

/** Trains and writes through a worker, and tells what came of it, and how often the page's own clock ticked meanwhile. */
const throughWorker = `
import { inWorker } from 'performer-ts/worker';

let ticks = 0;
setInterval(() => { ticks += 1; }, 5);
async function run() {
  const performer = await inWorker({ threads: 2 });
  const options = { dim: 16, depth: 1, heads: 2, headDim: 8, steps: 4, batch: 2, window: 16, learningRate: 0.01 };
  const text = 'the cat sat on the mat. '.repeat(40);
  let steps = 0;
  const model = await performer.trainModel(text, { ...options, onProgress: () => { steps += 1; } });
  const written = await model.generate('the', { maxTokens: 8, temperature: 0 }).text();
  const again = await performer.loadModel(await model.files());
  const same = await again.generate('the', { maxTokens: 8, temperature: 0 }).text();
  const stop = new AbortController();
  let late = 0;
  const onProgress = () => { late += 1; if (late === 2) stop.abort(); };
  await performer.trainModel(text, { ...options, steps: 100000, signal: stop.signal, onProgress });
  performer.dispose();
  return JSON.stringify({ steps, isWritten: written.length > 0, isSame: same === written, isStopped: late < 100000, isAlive: ticks > 5 });
}
run().then((told) => { document.title = told; }, (cause) => { document.title = String(cause); });`;

/** Trains a small classifier in a worker, stops another within an evaluation, and tells what both came to. */
const classifying = `
import { inWorker } from 'performer-ts/worker';

async function run() {
  const performer = await inWorker({ threads: 1 });
  const examples = Array.from({ length: 60 }, (_, at) => ({
    text: (at % 2 ? '!!! ' : '') + 'the cat sat on mat ' + (at % 7),
    label: at % 2 ? 'loud' : 'calm',
  }));
  const options = { dim: 16, depth: 1, heads: 2, headDim: 8, steps: 30, batch: 4, window: 24, learningRate: 0.01, heldOut: 0.2 };
  let accuracy;
  const onProgress = ({ kind, measures }) => { if (kind === 'evaluation') accuracy = measures.accuracy; };
  const model = await performer.trainModel(examples, { ...options, task: 'classification', onProgress });
  const labels = (await model.classify(['!!! the mat', 'the mat'])).map(({ label }) => label);
  const again = await performer.loadModel(await model.files(), { kind: 'classifier' });
  const [vector] = await again.embed(['the mat'], { normalize: true });
  const stop = new AbortController();
  const told = [];
  await performer.trainModel('the cat sat on the mat. '.repeat(2000), {
    ...options, steps: 1, batch: 1, heldOut: 0.99, signal: stop.signal,
    onProgress: ({ kind }) => { told.push(kind); stop.abort(); },
  });
  performer.dispose();
  return JSON.stringify({ kind: again.kind, classes: again.classes, accuracy, labels, size: vector.length, told });
}
run().then((told) => { document.title = told; }, (cause) => { document.title = String(cause); });`;

const classified = {
  kind: 'classifier',
  classes: ['calm', 'loud'],
  accuracy: 1,
  labels: ['loud', 'calm'],
  size: 16,
  told: ['step'],
};

/** A classifier in a worker with WebGPU, whose adapter here computes on the processor: shaders of one graph take seconds. */
const onGpu = `
import { inGpuWorker } from 'performer-ts/worker/web-gpu';

async function run() {
  const performer = await inGpuWorker({ threads: 1 });
  const targets = { kind: 'classes', names: ['calm', 'loud'] };
  const size = { dim: 16, depth: 1, heads: 2, headDim: 8, attention: 'softmax' };
  const model = await performer.createModel({ ...size, model: 'classifier', targets });
  const [{ probabilities }] = await model.classify(['a mat']);
  performer.dispose();
  return JSON.stringify(probabilities);
}
run().then((told) => { document.title = told; }, (cause) => { document.title = String(cause); });`;

const atTheDoor = `
import { attention, createModel } from 'performer-ts';

async function run() {
  const values = ${JSON.stringify(values)};
  const output = await attention({ query: values, key: values, value: values, shape: ${JSON.stringify(shape)} }, { kind: 'softmax' });
  const model = await createModel({ dim: 16, depth: 1, heads: 2, headDim: 8 });
  const { shape } = await model.logits('cat');
  return JSON.stringify([output.length, ...shape]);
}
run().then((told) => { document.title = told; }, (cause) => { document.title = String(cause); });`;

describe.skipIf(!existsSync(executablePath))('the front door in Chromium (skipped where it is not installed)', () => {
  it('trains, writes and is stopped in a worker, while the page stays alive', async () => {
    const { title } = await show(await buildPage({ 'page.js': throughWorker }));
    expect(JSON.parse(title)).toEqual({ steps: 5, isWritten: true, isSame: true, isStopped: true, isAlive: true });
  });

  it('trains a classifier in a worker, classifies and embeds, and an evaluation under way is stopped', async () => {
    const built = await buildPage({ 'page.js': classifying });
    expect(built.files.filter((name) => name.endsWith('.wasm'))).toEqual([expect.not.stringContaining('asyncify')]);
    const { title } = await show(built);
    expect(JSON.parse(title)).toEqual(classified);
  });

  it('classifies in a worker that computes on the GPU as this thread does', async () => {
    const built = await buildPage({ 'page.js': onGpu });
    const { title, requests } = await show(built, () => false, gpuFlags);
    const targets = { kind: 'classes', names: ['calm', 'loud'] } as const;
    const size = { dim: 16, depth: 1, heads: 2, headDim: 8, attention: 'softmax' } as const;
    const [here] = await (await createModel({ ...size, model: 'classifier', targets })).classify(['a mat']);
    const told = JSON.parse(title) as Readonly<Record<string, number>>;
    expect(Object.keys(told)).toEqual(targets.names);
    for (const name of targets.names) expect(told[name]).toBeCloseTo(here!.probabilities[name]!, 4);
    expect(requests.filter((url) => url.endsWith('.wasm'))).toEqual([expect.stringContaining('asyncify')]);
  });

  it('chooses the engine of browsers by itself', async () => {
    const { title, requests } = await show(await buildPage({ 'page.js': atTheDoor }));
    expect(JSON.parse(title)).toEqual([12, 3, 256]);
    expect(requests.filter((url) => url.endsWith('.wasm'))).toHaveLength(1);
  });
});

it('the files of WebGPU are in a page that asks for it', async () => {
  const { files } = await buildPage({
    'page.js': `
      import { webGpuEngine } from 'performer-ts/engine/web-gpu';
      webGpuEngine().catch((cause) => { document.title = cause.message; });`,
  });
  const runtime = files.filter((name) => /^ort-wasm.*\.(wasm|mjs)$/.test(name));
  expect(runtime).toHaveLength(2);
  for (const name of runtime) expect(name).toContain('asyncify');
});

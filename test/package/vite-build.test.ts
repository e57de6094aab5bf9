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
import { buildPage, executablePath, type Shown, show } from './built-page.js';

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
  return Array.from(data as Float64Array);
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

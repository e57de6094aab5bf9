/** `performer export`, and the example that runs what it wrote. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { drawBuffers, initialize, Random } from '../../src/base/index.js';
import { asKept, type WeightDtype } from '../../src/interop/index.js';
import { modelConfig, modelOf, tensorsOf } from '../../src/models/index.js';
import { loadModel, writeModel } from '../../src/models/node.js';
import { performer, temporaryFolder, trainedModel } from './support.js';

const modelFolder = trainedModel();
const example = fileURLToPath(new URL('../../examples/onnx-generate.mjs', import.meta.url));

test('an exported language model writes in ONNX Runtime alone what generate writes', async () => {
  const folder = await modelFolder();
  const file = join(folder, 'book.onnx');
  const told = await performer(['export', folder, '--onnx', file, '--form', 'streaming']);
  expect(told).toMatchObject({ code: 0, out: expect.stringMatching(/book\.onnx: streaming form, [\d.]+ MB\n$/) });
  const { stdout } = await promisify(execFile)('node', [example, file, 'The whale', '40'], { encoding: 'buffer' });
  const words = ['--prompt', 'The whale', '--max-tokens', '40', '--temperature', '0', '--no-echo', '--threads', '1'];
  const own = await performer(['generate', folder, ...words]);
  expect(own.code).toBe(0);
  expect(stdout.length).toBe(40);
  expect(stdout).toEqual(own.bytes);
});

test('the example has at most 20 lines and does not import this package', async () => {
  const text = await readFile(example, 'utf8');
  expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(20);
  expect([...text.matchAll(/from '(.*?)'/g)].map(([, name]) => name)).toEqual(['onnxruntime-node']);
});

test('a folder gets every form that the model has, its config and its tokenizer', async () => {
  const folder = await modelFolder();
  const out = join(folder, 'exported');
  expect(await performer(['export', folder, '--onnx', out])).toMatchObject({ code: 0, err: '' });
  const names = ['config.json', 'generation_config.json', 'model.onnx', 'streaming.onnx', 'tokenizer.json'];
  expect((await readdir(out)).sort()).toEqual(names);
  const config = (from: string) => readFile(join(from, 'config.json'), 'utf8').then(JSON.parse);
  expect(await config(out)).toEqual(await config(folder));
});

/** An encoder with random weights, in a folder. */
async function encoderFolder(): Promise<string> {
  const folder = await temporaryFolder();
  const model = modelOf(modelConfig({ model: 'encoder', dim: 16, depth: 1, heads: 2, headDim: 8 }));
  const params: object = initialize(model.params, Random.fromSeed(1));
  const buffers: object = drawBuffers(model.buffers, Random.fromSeed(2));
  await writeModel(folder, model.config, { params, buffers });
  return folder;
}

test('a form that a model does not have is told, and nothing is written', async () => {
  const folder = await encoderFolder();
  const before = await readdir(folder);
  const file = join(folder, 'encoder.onnx');
  const told = await performer(['export', folder, '--onnx', file, '--form', 'streaming']);
  expect(told).toMatchObject({ code: 1, err: expect.stringMatching(/streaming form, got one that reads in both dir/) });
  expect(await readdir(folder)).toEqual(before);
  const out = join(folder, 'exported');
  const whole = await performer(['export', folder, '--onnx', out]);
  expect(whole).toMatchObject({
    code: 0,
    err: expect.stringMatching(/no streaming form: the model is one that reads/),
  });
  expect(await readdir(out)).not.toContain('streaming.onnx');
});

test('what is there already, or cannot be written, is refused before the model is read', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'taken'));
  await writeFile(join(folder, 'taken', 'kept'), '');
  const cases = [
    [['--onnx', join(folder, 'taken')], 2, /--onnx: expected a folder that does not exist, got .*taken/],
    [['--onnx', join(folder, 'new'), '--form', 'whole'], 2, /--form: expected a file that ends in \.onnx as --onnx/],
    [['--onnx', join(folder, 'none', 'a.onnx')], 1, /--onnx: expected the folder .*none for/],
    [['--onnx', 'a.onnx', '--out', 'b'], 2, /export: expected one of .*got more/],
    [['--onnx', 'a.onnx', '--dtype', 'float16'], 2, /--dtype: expected float32, int8 of ONNX files, got float16/],
    [['--out', 'a', '--dtype', 'int8'], 2, /--dtype: expected float32, float16, bfloat16 of folders, got int8/],
    [['--out', join(folder, 'taken')], 2, /--out: expected a folder that does not exist/],
    [['--hugging-face', join(folder, 'taken')], 2, /--hugging-face: expected a folder that does not exist/],
    [[], 2, /export: expected one of --onnx, --hugging-face and --out, got nothing to write/],
  ] as const;
  for (const [words, code, message] of cases) {
    const told = await performer(['export', join(folder, 'no-model'), ...words]);
    expect(told).toMatchObject({ code, err: expect.stringMatching(message) });
  }
  expect(await readdir(join(folder, 'taken'))).toEqual(['kept']);
});

test.each(['float16', 'bfloat16'])(
  'a folder of ours in %s has half the weights and nearly the outputs',
  async (dtype) => {
    const folder = await modelFolder();
    const out = join(folder, 'half');
    expect(await performer(['export', folder, '--out', out, '--dtype', dtype])).toMatchObject({ code: 0, err: '' });
    const size = async (from: string) => (await stat(join(from, 'model.safetensors'))).size;
    expect((await size(out)) / (await size(folder))).toBeLessThan(0.6);
    const [before, after] = [await loadModel(folder), await loadModel(out)];
    expect(tensorsOf(after.buffers)).toEqual(tensorsOf(before.buffers));
    const [own, kept] = [tensorsOf(before.params), tensorsOf(after.params)];
    expect([...kept.keys()]).toEqual([...own.keys()]);
    for (const [name, { data }] of kept) {
      const expected = asKept(own.get(name)!.data as Float32Array, dtype as WeightDtype);
      expect(data, name).toEqual(expected);
    }
    // Generating works from such a folder, and what is exported again is the same file.
    const again = join(folder, 'again');
    expect(await performer(['export', out, '--out', again, '--dtype', dtype])).toMatchObject({ code: 0 });
    expect(await readFile(join(again, 'model.safetensors'))).toEqual(await readFile(join(out, 'model.safetensors')));
  },
);

test('weights beyond the range of float16 are refused, and nothing is written', async () => {
  const folder = await encoderFolder();
  const { model, params, buffers } = await loadModel(folder);
  (tensorsOf(params).get('embedding.weight')!.data as Float32Array)[5] = 70_000;
  await writeModel(folder, model.config, { params, buffers });
  const out = join(folder, 'half');
  expect(await performer(['export', folder, '--out', out, '--dtype', 'float16'])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/weights within the range of float16, got 70000 in embedding\.weight\. Use bfloat16/),
  });
  expect(await readdir(folder)).not.toContain('half');
});

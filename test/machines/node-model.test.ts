import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { readSafetensors, writeSafetensors } from '../../src/interop/node.js';
import { arraySamples, type FitOptions, fitKernelMachine } from '../../src/machines/index.js';
import { loadMachine, saveMachine } from '../../src/machines/node.js';
import { curve } from './data.js';

const engine = nodeEngine({ threads: 1 });
const { inputs, targets } = curve(60);
const folders: string[] = [];

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'performer-machine-'));
  folders.push(folder);
  return folder;
}

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

const fitted = async (options: FitOptions = { featureCount: 8 }) =>
  (await fitKernelMachine(engine, arraySamples(inputs, targets), options)).machine;

async function saved(): Promise<string> {
  const folder = join(await temporaryFolder(), 'machine');
  await saveMachine(folder, await fitted());
  return folder;
}

test.each<[string, FitOptions]>([
  ['sines and cosines', { featureCount: 8 }],
  ['orthogonal positive features', { map: 'positive', featureCount: 8 }],
  ['random signs', { kernel: 'polynomial', degree: 3, featureCount: 8 }],
  ['no random part', { kernel: 'taylor' }],
])('a machine of %s comes back as it was', async (_, options) => {
  const folder = join(await temporaryFolder(), 'machine');
  const machine = await fitted(options);
  await saveMachine(folder, machine);
  expect(await loadMachine(folder)).toEqual(machine);
  expect(await readdir(folder)).toEqual(['config.json', 'model.safetensors']);
});

test('saving again leaves the new machine and nothing else', async () => {
  const folder = await saved();
  const machine = await fitted({ featureCount: 4 });
  await saveMachine(folder, machine);
  expect(await loadMachine(folder)).toEqual(machine);
  expect(await readdir(join(folder, '..'))).toEqual(['machine']);
});

test('a folder with other things in it is left alone', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'thesis.txt'), 'mine');
  await expect(saveMachine(folder, await fitted())).rejects.toThrow(/a new folder.*got one with thesis\.txt/);
  expect(await readdir(folder)).toEqual(['thesis.txt']);
});

test('another kind of model is left alone', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'config.json'), '{"model": "causal-language-model"}');
  await expect(saveMachine(folder, await fitted())).rejects.toMatchObject({ code: 'CHECKPOINT' });
});

describe('a machine that is not whole is refused', () => {
  async function changed(change: (config: Record<string, unknown>) => Record<string, unknown>): Promise<string> {
    const folder = await saved();
    const path = join(folder, 'config.json');
    const { sha256: _, ...config } = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify(change(config)));
    return folder;
  }

  async function withTensor(name: string, change: (data: Float64Array) => void): Promise<string> {
    const folder = await changed((config) => config);
    const path = join(folder, 'model.safetensors');
    const { tensors } = await readSafetensors(path);
    change(tensors.get(name)?.data as Float64Array);
    await writeSafetensors(path, tensors);
    return folder;
  }

  test.each<[string, () => Promise<string>, RegExp]>([
    ['an empty folder', temporaryFolder, /without config\.json.*performer kernel fit/],
    ['an unknown option', () => changed((config) => ({ ...config, extra: 1 })), /extra/],
    ['another version', () => changed((config) => ({ ...config, version: 1 })), /version/],
    ['another number of features', () => changed((config) => ({ ...config, featureCount: 10 })), /projection|weight/],
    ['another number of columns', () => changed((config) => ({ ...config, dim: 4 })), /mean/],
    ['no gamma', () => changed(({ gamma: _, ...config }) => config), /gamma/],
    ['names that do not fit', () => changed((config) => ({ ...config, names: wrongNames })), /names/],
    ['a scale below zero', () => withTensor('scale', (data) => data.fill(-1)), /0 or above in scale/],
    [
      'a weight that is no number',
      () => withTensor('weight', (data) => data.fill(Number.NaN)),
      /finite numbers in "?weight/,
    ],
  ])('%s', async (_, make, message) => {
    await expect(loadMachine(await make())).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringMatching(message),
    });
  });

  const wrongNames = { inputs: ['a'], targets: ['b'], header: true, delimiter: ',', columns: ['a', 'b'] };

  test('a file where the folder should be', async () => {
    const folder = join(await temporaryFolder(), 'taken');
    await writeFile(folder, '');
    await expect(saveMachine(folder, await fitted())).rejects.toThrow(/got a file/);
    await mkdir(`${folder}-empty`);
    await saveMachine(`${folder}-empty`, await fitted());
  });
});

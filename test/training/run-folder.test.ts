/** The folder of a run belongs to one run, which touches nothing there that is not its own. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/node.js';
import { CheckpointFolder, loadLatestSnapshot } from '../../src/training/node.js';
import { snapshotOf } from '../support/tiny.js';

let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'performer-'));
  folder = join(parent, 'run');
});
afterEach(() => rm(parent, { recursive: true, force: true }));

async function saveSteps(...steps: number[]): Promise<string[]> {
  const store = await CheckpointFolder.open(folder);
  const places: string[] = [];
  for (const step of steps) places.push(await store.save({ ...snapshotOf({}, { seed: step, keep: 3 }), step }));
  await store.close();
  return places;
}

async function flipBit(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  const at = offset < 0 ? bytes.length + offset : offset;
  bytes[at] = (bytes[at] as number) ^ 1;
  await rm(path); // the folder of the run may share the file
  await writeFile(path, bytes);
}

describe('a run', () => {
  it('is not begun over another, which stays as it was', async () => {
    await saveSteps(0, 1);
    const before = await readFile(join(folder, 'model.safetensors'));
    await expect(CheckpointFolder.open(folder)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(
        /holds a run already\. Go on with it by CheckpointFolder\.resume, or choose another/,
      ),
    });
    expect(await readFile(join(folder, 'model.safetensors'))).toEqual(before);
    expect(await readdir(folder)).not.toContain('training.lock');
    const { store, snapshot } = await CheckpointFolder.resume(folder);
    expect(snapshot.step).toBe(1);
    await store.close();
  });

  it('is not resumed where there is none, and leaves nothing there', async () => {
    await mkdir(folder);
    await expect(CheckpointFolder.resume(folder)).rejects.toThrow(/expected a run to resume, got a folder without/);
    expect(await readdir(folder)).toEqual([]);
  });

  it('locks its folder until it is closed, and saves nothing afterwards', async () => {
    const store = await CheckpointFolder.open(folder);
    await store.save(snapshotOf());
    const another = {
      code: 'CHECKPOINT',
      message: expect.stringMatching(/expected no other training there, got process/),
    };
    await expect(CheckpointFolder.open(folder)).rejects.toMatchObject(another);
    await expect(CheckpointFolder.resume(folder)).rejects.toMatchObject(another);
    await store.close();
    await expect(store.save(snapshotOf())).rejects.toMatchObject({ code: 'USAGE' });
    await (await CheckpointFolder.resume(folder)).store.close();
  });

  it.each(['model.safetensors', 'config.json', 'tokenizer.json'])('does not overwrite a %s of others', async (name) => {
    await mkdir(folder);
    await writeFile(join(folder, name), 'precious');
    await expect(CheckpointFolder.open(folder)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringContaining(`expected a folder without ${name}, which the run would overwrite`),
    });
    expect(await readFile(join(folder, name), 'utf8')).toBe('precious');
    expect(await readdir(folder)).toEqual([name]);
  });

  it('clears from its checkpoints only what has its own form', async () => {
    await saveSteps(0);
    const checkpoints = join(folder, 'checkpoints');
    const home = join(parent, 'home');
    for (const name of ['.git', '.step-00000001.notes', '.step-00000001.12.tmp', '.step-00000001.12.removed']) {
      await mkdir(join(checkpoints, name));
      await writeFile(join(checkpoints, name, 'file'), '');
    }
    await mkdir(home);
    await writeFile(join(home, '.profile'), '');
    await symlink(home, join(checkpoints, '.step-00000002.12.tmp'));
    const { store } = await CheckpointFolder.resume(folder);
    await store.close();
    expect((await readdir(checkpoints)).sort()).toEqual(
      ['.git', '.step-00000001.notes', '.step-00000002.12.tmp', 'step-00000000'].sort(),
    );
    expect(await readdir(home)).toEqual(['.profile']);
  });

  it('clears nothing of a home that its checkpoints are a link to', async () => {
    const home = join(parent, 'home');
    await mkdir(join(home, '.ssh'), { recursive: true });
    await mkdir(folder);
    await symlink(home, join(folder, 'checkpoints'));
    const store = await CheckpointFolder.open(folder);
    await store.save(snapshotOf());
    await store.close();
    expect((await readdir(home)).sort()).toEqual(['.ssh', 'step-00000000']);
  });

  it.each([
    ['removed', () => rm(folder, { recursive: true })],
    ['renamed', () => rename(folder, `${folder}-elsewhere`)],
    [
      'renamed, and another is in its place',
      async () => {
        await rename(folder, `${folder}-elsewhere`);
        await mkdir(join(folder, 'checkpoints'), { recursive: true });
      },
    ],
  ])('whose folder was %s meanwhile makes no other in its place', async (_, change) => {
    const store = await CheckpointFolder.open(folder);
    await store.save(snapshotOf());
    await change();
    const before = (await readdir(parent, { recursive: true })).sort();
    await expect(store.save({ ...snapshotOf(), step: 1 })).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringMatching(/expected the folder that this run has locked, got none or another/),
    });
    await store.close();
    expect((await readdir(parent, { recursive: true })).sort()).toEqual(before);
  });

  it('says in one line that its checkpoints cannot be listed', async () => {
    await mkdir(folder);
    await writeFile(join(folder, 'checkpoints'), 'a file');
    const failure = await CheckpointFolder.open(folder).catch((cause: unknown) => cause);
    expect(failure).toMatchObject({ name: 'PerformerError', code: 'CHECKPOINT' });
    expect((failure as Error).message).toContain(join(folder, 'checkpoints'));
    expect(await readdir(folder)).toEqual(['checkpoints']);
  });
});

describe('a checkpoint with one flipped bit', () => {
  it.each([
    ['model.safetensors', -1],
    ['training.safetensors', -1],
    ['config.json', -30],
    ['training.json', 40],
  ])('in %s is refused, and the newest whole one is named', async (name, offset) => {
    const [, older, newest] = (await saveSteps(0, 1, 2)) as [string, string, string];
    await flipBit(join(newest, name), offset);
    await expect(CheckpointFolder.resume(folder)).rejects.toMatchObject({
      name: 'PerformerError',
      message: expect.stringMatching(
        new RegExp(`^.*${name.replace('.', '\\.')}.*newest whole checkpoint is ${older}: `),
      ),
    });
    expect(await readdir(folder)).not.toContain('training.lock');
    await rename(newest, join(parent, 'damaged'));
    expect((await loadLatestSnapshot(folder)).step).toBe(1);
  });

  it('is refused as a model, too', async () => {
    const [place] = (await saveSteps(0)) as [string];
    await flipBit(join(place, 'model.safetensors'), -1);
    await expect(loadModel(place)).rejects.toThrow(
      /expected the tensors and the config\.json that were saved together/,
    );
    await loadModel(folder);
  });

  it('is named as the only one where no other is whole', async () => {
    const places = await saveSteps(0, 1);
    for (const place of places) await flipBit(join(place, 'model.safetensors'), -1);
    await expect(loadLatestSnapshot(folder)).rejects.toThrow(/No older checkpoint is whole either\./);
  });
});

it('refuses the weights of one checkpoint with the training state of another', async () => {
  const [first, second] = (await saveSteps(0, 1)) as [string, string];
  await rm(join(second, 'model.safetensors'));
  await writeFile(join(second, 'model.safetensors'), await readFile(join(first, 'model.safetensors')));
  await expect(loadLatestSnapshot(folder)).rejects.toThrow(/model\.safetensors: expected a file with the SHA-256 /);
});

import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf } from '../../src/base/index.js';
import type { LoadedModel } from '../../src/models/index.js';
import { loadModel } from '../../src/models/node.js';
import { runTraining, type Snapshot } from '../../src/training/index.js';
import { CheckpointFolder, loadLatestSnapshot, lockFolder } from '../../src/training/node.js';
import { snapshotOf, trainerFor } from '../support/tiny.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function leaves({ params, moments, buffers, states }: Snapshot): [string, HostTensor][] {
  return leavesOf({ params, moments, buffers, states }) as unknown as [string, HostTensor][];
}

/** A model without its functions. */
function contentOf({ model, params, buffers }: LoadedModel) {
  return { config: model.config, params, buffers };
}

/** Saves snapshots in a new folder, gives it back, and returns where they are. */
async function saved(...snapshots: Snapshot[]): Promise<string[]> {
  const store = await CheckpointFolder.open(folder);
  const places: string[] = [];
  for (const snapshot of snapshots) places.push(await store.save(snapshot));
  await store.close();
  return places;
}

/** Takes the run up again, gives the folder back, and returns the snapshot. */
async function reopened(): Promise<Snapshot> {
  const { store, snapshot } = await CheckpointFolder.resume(folder);
  await store.close();
  return snapshot;
}

describe('a checkpoint folder', () => {
  it.each(['adamw', 'muon'] as const)('gives back a snapshot bit for bit: %s', async (optimizer) => {
    const trainer = await trainerFor(snapshotOf({}, { carryState: true, optimizer }));
    await trainer.step();
    trainer.noteBest(1.5);
    const store = await CheckpointFolder.open(folder);
    await store.save(await trainer.fetchSnapshot());
    const loaded = await loadLatestSnapshot(folder);
    expect(loaded.step).toBe(1);
    expect(loaded.best).toEqual({ step: 1, loss: 1.5 });
    expect(loaded.model).toEqual(trainer.snapshot.model);
    expect(loaded.training).toEqual(trainer.snapshot.training);
    const expected = new Map(leaves(await trainer.fetchSnapshot()));
    expect(leaves(loaded).map(([path]) => path)).toEqual([...expected.keys()]);
    for (const [path, tensor] of leaves(loaded)) expect(tensor.data, path).toEqual(expected.get(path)?.data);
    await trainer.dispose();
  });

  it('keeps the last few and the best, and shows the best as the model of the folder', async () => {
    const trainer = await trainerFor(snapshotOf());
    const store = await CheckpointFolder.open(folder);
    for (let i = 0; i < 5; i++) {
      await trainer.step();
      if (i === 1) trainer.noteBest(1);
      await store.save(await trainer.fetchSnapshot());
    }
    const names = (await readdir(join(folder, 'checkpoints'))).sort();
    expect(names).toEqual(['step-00000002', 'step-00000004', 'step-00000005']);
    const best = await loadModel(join(folder, 'checkpoints', 'step-00000002'));
    expect(contentOf(await loadModel(folder))).toEqual(contentOf(best));
    await trainer.dispose();
  });

  it.each([
    ['model.safetensors', 'cut short', (path: string) => truncate(path, 1000)],
    ['config.json', 'no JSON', (path: string) => writeFile(path, '{"dim": 16')],
    [
      'config.json',
      'of another shape',
      async (path: string) => {
        const config = JSON.parse(await readFile(path, 'utf8'));
        await writeFile(path, JSON.stringify({ ...config, dim: 24 }));
      },
    ],
    [
      'config.json',
      'of another version',
      async (path: string) => {
        const config = JSON.parse(await readFile(path, 'utf8'));
        await writeFile(path, JSON.stringify({ ...config, version: 3 }));
      },
    ],
    ['config.json', 'gone', (path: string) => rm(path)],
  ] as const)('refuses a model whose %s is %s, in one line', async (name, _, damage) => {
    const store = await CheckpointFolder.open(folder);
    await store.save(snapshotOf());
    const place = join(folder, 'checkpoints', 'step-00000000');
    await damage(join(place, name));
    const failure = await loadModel(place).catch((cause: unknown) => cause as Error);
    expect(failure).toBeInstanceOf(Error);
    expect((failure as Error).name).toBe('PerformerError');
    expect((failure as Error).message).not.toContain('\n');
  });

  it('leaves earlier checkpoints whole when a save fails', async () => {
    const store = await CheckpointFolder.open(folder);
    const snapshot = snapshotOf();
    await store.save(snapshot);
    const broken = {
      ...snapshot,
      step: 1,
      get params(): never {
        throw new Error('no space left on device');
      },
    } as unknown as Snapshot;
    await expect(store.save(broken)).rejects.toThrow(/Earlier checkpoints are untouched/);
    expect(await readdir(join(folder, 'checkpoints'))).toEqual(['step-00000000']);
    expect((await loadLatestSnapshot(folder)).step).toBe(0);
  });

  it('is locked for one training at a time, and a dead process does not hold the lock', async () => {
    const { release } = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toThrow(/expected no other training there, got process \d+\. Wait/);
    const own = await readLock();
    await release();
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.on('exit', resolve));
    // Numbers come again: this one too, which a container gives to each first process.
    const dead = [
      { ...own, pid: child.pid },
      { ...own, pid: process.ppid, started: '1' },
      { ...own, started: '1' },
    ].map((owner) => JSON.stringify(owner));
    for (const owner of [...dead, '']) {
      await writeFile(lock(), owner);
      await (await lockFolder(folder)).release();
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('is given to one of many that ask at once, and never shown without its owner', async () => {
    await writeFile(lock(), JSON.stringify({ host: hostname(), pid: 999_999_999, started: '1' }));
    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await readLock()).toMatchObject({ host: hostname(), pid: process.pid });
  });

  it('is not taken from a process that cannot be seen from here, and says which file to remove', async () => {
    const owner = JSON.stringify({ host: 'elsewhere', pid: process.pid, started: '1' });
    await writeFile(lock(), owner);
    await expect(lockFolder(folder)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringMatching(
        /got process \d+ of the host elsewhere, .* certain that nobody .*training\.lock\.$/,
      ),
    });
    expect(await readFile(lock(), 'utf8')).toBe(owner);
    await rm(lock());
    await (await lockFolder(folder)).release();
  });

  it('gives back its own lock alone, and clears what those left that were killed asking for it', async () => {
    const dead = JSON.stringify({ host: hostname(), pid: 999_999_999, started: '1' });
    await writeFile(`${lock()}.half-written`, '');
    await writeFile(`${lock()}.whole`, dead);
    const { release } = await lockFolder(folder);
    expect(await readdir(folder)).toEqual(['training.lock']);
    await writeFile(lock(), dead); // removed by hand, and taken by another
    await release();
    expect(await readFile(lock(), 'utf8')).toBe(dead);
  });

  const lock = () => join(folder, 'training.lock');
  const readLock = async () => JSON.parse(await readFile(lock(), 'utf8'));

  it('clears the drafts of a killed run, and nothing else', async () => {
    await saved(snapshotOf());
    const names = await readdir(folder);
    for (const name of ['model.safetensors.123.tmp', 'config.json.45.tmp', 'notes.6.tmp', 'config.json.mine']) {
      await writeFile(join(folder, name), '');
    }
    await reopened();
    expect(await readdir(folder)).toEqual([...names, 'config.json.mine', 'notes.6.tmp'].sort());
  });

  it('publishes the best model again where it is another, and leaves it where it is not', async () => {
    await saved(snapshotOf(), { ...snapshotOf({}, { seed: 7 }), step: 1, best: { step: 0, loss: 1 } });
    const path = join(folder, 'model.safetensors');
    const { ino } = await stat(path);
    const best = await loadModel(folder);
    await reopened();
    expect((await stat(path)).ino).toBe(ino);
    await rm(path);
    await reopened();
    expect(contentOf(await loadModel(folder))).toEqual(contentOf(best));
  });

  it('does not save again the step that a run goes on from', async () => {
    const store = await CheckpointFolder.open(folder);
    const place = await store.save(snapshotOf());
    const { ino } = await stat(place);
    const trainer = await trainerFor(await loadLatestSnapshot(folder));
    const stopped = AbortSignal.abort();
    for await (const event of runTraining(trainer, { store, signal: stopped })) expect(event).toBeUndefined();
    expect((await stat(place)).ino).toBe(ino);
    const events: string[] = [];
    for await (const { kind, step } of runTraining(trainer, { store })) events.push(`${kind} ${step}`);
    expect(events.slice(0, 2)).toEqual(['step 1', 'step 2']);
    await trainer.dispose();
  });

  describe('that was tampered with is refused before anything is made of its sizes', () => {
    const carried = { carryState: true, accumulation: 2 };
    it.each<[string, string, object, RegExp]>([
      ['a depth of 1,024', 'config.json', { depth: 1024 }, /tensors of 1024 blocks, got those of 2\. Use the files/],
      ['states without end', 'training.json', { states: 1e9 }, /expected 0 or 2 carried states .*, got 1000000000/],
      ['one state of two', 'training.json', { states: 1 }, /expected 0 or 2 carried states by its options, got 1/],
      [
        '65,536 micro-batches',
        'training.json',
        { states: 2 ** 16, options: { accumulation: 2 ** 16 } },
        /tensors of 65536 states, got those of 2/,
      ],
      [
        'a batch of 65,536',
        'training.json',
        { options: { batch: 2 ** 16 } },
        /states\.0\.position to be int32 \[65536\], got int32 \[2\]/,
      ],
      ['states of a run without', 'training.json', { options: { carryState: false } }, /no carried states .*, got 2/],
    ])('%s', async (_, name, { options, ...changes }: { options?: object }, message) => {
      const trainer = await trainerFor(snapshotOf({}, carried));
      await trainer.step();
      const [place] = (await saved(await trainer.fetchSnapshot())) as [string];
      await trainer.dispose();
      const { sha256, ...file } = JSON.parse(await readFile(join(place, name), 'utf8')); // else the seal tells
      const all = options === undefined ? {} : { options: { ...file.options, ...options } };
      await writeFile(join(place, name), JSON.stringify({ ...file, ...changes, ...all }));
      await expect(loadLatestSnapshot(folder)).rejects.toMatchObject({
        code: 'CHECKPOINT',
        message: expect.stringMatching(message),
      });
    });
  });

  it('resumes from disk as if never stopped', async () => {
    const whole = await trainerFor(snapshotOf());
    const losses: number[] = [];
    for await (const event of runTraining(whole)) if (event.kind === 'step') losses.push(event.loss);
    const store = await CheckpointFolder.open(folder);
    const stop = new AbortController();
    const first = await trainerFor(snapshotOf());
    const resumed: number[] = [];
    for await (const event of runTraining(first, { store, signal: stop.signal })) {
      if (event.kind === 'step') resumed.push(event.loss);
      if (event.kind === 'step' && event.step === 3) stop.abort();
    }
    const second = await trainerFor(await loadLatestSnapshot(folder));
    expect(second.snapshot.step).toBe(3);
    for await (const event of runTraining(second, { store })) if (event.kind === 'step') resumed.push(event.loss);
    expect(resumed).toEqual(losses);
    const expected = new Map(leaves(await whole.fetchSnapshot()));
    for (const [path, tensor] of leaves(await second.fetchSnapshot()))
      expect(tensor.data, path).toEqual(expected.get(path)?.data);
  });
});

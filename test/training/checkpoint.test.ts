import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HostTensor, leavesOf } from '../../src/base/index.js';
import { runTraining, type Snapshot } from '../../src/training/index.js';
import { CheckpointFolder, loadLatestSnapshot, loadModel, lockFolder } from '../../src/training/node.js';
import { snapshotOf, trainerFor } from '../support/tiny.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function leaves({ params, moments, projections, states }: Snapshot): [string, HostTensor][] {
  return leavesOf({ params, moments, projections, states }) as unknown as [string, HostTensor][];
}

describe('a checkpoint folder', () => {
  it('gives back a snapshot bit for bit', async () => {
    const trainer = await trainerFor(snapshotOf({}, { carryState: true }));
    await trainer.step();
    trainer.noteBest(1.5);
    const store = await CheckpointFolder.open(folder, 2);
    await store.save(await trainer.fetchSnapshot());
    const loaded = await loadLatestSnapshot(folder);
    expect(loaded.step).toBe(1);
    expect(loaded.best).toEqual({ step: 1, loss: 1.5 });
    expect(loaded.model).toEqual(trainer.snapshot.model);
    expect(loaded.training).toEqual(trainer.snapshot.training);
    const expected = new Map(leaves(await trainer.fetchSnapshot()));
    for (const [path, tensor] of leaves(loaded)) expect(tensor.data, path).toEqual(expected.get(path)?.data);
    await trainer.dispose();
  });

  it('keeps the last few and the best, and shows the best as the model of the folder', async () => {
    const trainer = await trainerFor(snapshotOf());
    const store = await CheckpointFolder.open(folder, 2);
    for (let i = 0; i < 5; i++) {
      await trainer.step();
      if (i === 1) trainer.noteBest(1);
      await store.save(await trainer.fetchSnapshot());
    }
    const names = (await readdir(join(folder, 'checkpoints'))).sort();
    expect(names).toEqual(['step-00000002', 'step-00000004', 'step-00000005']);
    const best = await loadModel(join(folder, 'checkpoints', 'step-00000002'));
    expect(await loadModel(folder)).toEqual(best);
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
        await writeFile(path, JSON.stringify({ ...config, version: 2 }));
      },
    ],
    ['config.json', 'gone', (path: string) => rm(path)],
  ] as const)('refuses a model whose %s is %s, in one line', async (name, _, damage) => {
    const store = await CheckpointFolder.open(folder, 2);
    await store.save(snapshotOf());
    const place = join(folder, 'checkpoints', 'step-00000000');
    await damage(join(place, name));
    const failure = await loadModel(place).catch((cause: unknown) => cause as Error);
    expect(failure).toBeInstanceOf(Error);
    expect((failure as Error).name).toBe('PerformerError');
    expect((failure as Error).message).not.toContain('\n');
  });

  it('leaves earlier checkpoints whole when a save fails', async () => {
    const store = await CheckpointFolder.open(folder, 2);
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
    const release = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toThrow(/expected no other training there/);
    await release();
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.on('exit', resolve));
    for (const owner of [child.pid, process.pid, '']) {
      // As are a lock of this very number, which a container gives to each first process, and one that was cut short.
      await writeFile(join(folder, 'training.lock'), `${owner}\n`);
      await (await lockFolder(folder))();
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('is given to one of many that ask at once, and never shown without its owner', async () => {
    await writeFile(join(folder, 'training.lock'), '999999999\n');
    const asked = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await readFile(join(folder, 'training.lock'), 'utf8')).toBe(`${process.pid}\n`);
  });

  it('resumes from disk as if never stopped', async () => {
    const whole = await trainerFor(snapshotOf());
    const losses: number[] = [];
    for await (const event of runTraining(whole)) if (event.kind === 'step') losses.push(event.loss);
    const store = await CheckpointFolder.open(folder, 1);
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

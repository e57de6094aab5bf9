/** What is saved as a folder, killed before any one of the changes that it makes to the disk. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type AnyHostTensor, leavesOf } from '../../src/base/index.js';
import { arraySamples, fitKernelMachine, type KernelMachine } from '../../src/machines/index.js';
import { loadMachine, saveMachine } from '../../src/machines/node.js';
import { loadModel } from '../../src/models/node.js';
import type { Snapshot } from '../../src/training/index.js';
import { CheckpointFolder, loadLatestSnapshot } from '../../src/training/node.js';
import { curve } from '../machines/data.js';
import { engine, snapshotOf } from '../support/tiny.js';

/** How many changes are left until the process is killed, and what that does. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, kill() {} }));

vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>();
  const mortal = <A extends unknown[], R>(change: (...args: A) => Promise<R>) => {
    return (...args: A): Promise<R> => {
      if (disk.left-- > 0) return change(...args);
      disk.kill();
      return new Promise(() => undefined); // nothing after it is done
    };
  };
  return { ...real, link: mortal(real.link), rename: mortal(real.rename), rm: mortal(real.rm) };
});

// The lock of a process that was killed is taken over; here it is this process that goes on.
vi.mock('../../src/training/node-lock.js', () => ({
  lockFolder: async () => ({ isHeld: async () => true, release: async () => undefined }),
}));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Whether the work was done before it was killed. */
async function isDoneWithin(changes: number, work: () => Promise<unknown>): Promise<boolean> {
  disk.left = changes;
  const killed = new Promise<boolean>((resolve) => {
    disk.kill = () => resolve(false);
  });
  const isDone = await Promise.race([work().then(() => true), killed]);
  disk.left = Number.POSITIVE_INFINITY;
  return isDone;
}

/** Kills the work before each of its changes, and at last not at all. */
async function killEverywhere(
  prepare: (place: string) => Promise<unknown>,
  work: (place: string) => Promise<unknown>,
  check: (place: string, isDone: boolean) => Promise<void>,
): Promise<void> {
  for (let changes = 0, isDone = false; !isDone; changes++) {
    const place = join(folder, `${changes}`, 'saved');
    await prepare(place);
    isDone = await isDoneWithin(changes, () => work(place));
    await check(place, isDone);
  }
}

const weightsOf = (tree: unknown) =>
  leavesOf(tree).map(([, leaf]) => [...((leaf as unknown as AnyHostTensor).data as Float32Array)]);

describe('a run whose save is killed', () => {
  const first = snapshotOf();
  const second = snapshotOf({}, { seed: 7 });
  const begin = async (place: string) => (await CheckpointFolder.open(place)).save(first);
  const goOn = async (place: string, snapshot: Snapshot) => {
    const { store } = await CheckpointFolder.resume(place);
    await store.save(snapshot);
  };
  const expectOrder = async (place: string) => {
    expect((await readdir(place)).filter((name) => name.endsWith('.tmp') || name.startsWith('.'))).toEqual([]);
    expect((await readdir(join(place, 'checkpoints'))).filter((name) => name.startsWith('.'))).toEqual([]);
  };

  test('has a newest checkpoint that is whole, even where it saves a step again', async () => {
    await killEverywhere(
      begin,
      (place) => goOn(place, second),
      async (place, isDone) => {
        const { params, training } = await loadLatestSnapshot(place);
        expect(isDone ? [7] : [0, 7]).toContain(training.seed);
        expect(weightsOf(params)).toEqual(weightsOf((training.seed === 0 ? first : second).params));
        await CheckpointFolder.resume(place);
        expect(weightsOf((await loadLatestSnapshot(place)).params)).toEqual(weightsOf(params));
        expect(weightsOf((await loadModel(place)).params)).toEqual(weightsOf(params));
        await expectOrder(place);
      },
    );
  });

  test('shows its best model as soon as it is opened again', async () => {
    const best = { ...second, step: 1, best: { step: 1, loss: 2 } };
    await killEverywhere(
      begin,
      (place) => goOn(place, best),
      async (place) => {
        const { step, params } = await loadLatestSnapshot(place);
        await CheckpointFolder.resume(place);
        expect(weightsOf(params)).toEqual(weightsOf((step === 1 ? second : first).params));
        expect(weightsOf((await loadModel(place)).params)).toEqual(weightsOf(params));
        await expectOrder(place);
      },
    );
  });

  test('keeps no checkpoint too many once it is taken up again', async () => {
    const at = (step: number) => ({ ...snapshotOf({}, { keep: 1 }), step, best: { step: 1, loss: 2 } });
    await killEverywhere(
      async (place) => {
        await begin(place);
        await goOn(place, at(1));
        await goOn(place, at(2));
      },
      (place) => goOn(place, at(3)),
      async (place) => {
        const { snapshot } = await CheckpointFolder.resume(place);
        const names = await readdir(join(place, 'checkpoints'));
        expect(names.sort()).toEqual(['step-00000001', `step-0000000${snapshot.step}`]);
      },
    );
  });
});

test('a machine whose save is killed is the old one or the new one', async () => {
  const { inputs, targets } = curve(60);
  const fitted = async (featureCount: number): Promise<KernelMachine> =>
    (await fitKernelMachine(engine, arraySamples(inputs, targets), { featureCount })).machine;
  const [old, next] = [await fitted(8), await fitted(4)];
  await killEverywhere(
    (place) => saveMachine(place, old),
    (place) => saveMachine(place, next),
    async (place, isDone) => {
      const found = await loadMachine(place);
      expect(found).toEqual(isDone || found.config.featureCount === 4 ? next : old);
      await saveMachine(place, old);
      expect(await loadMachine(place)).toEqual(old);
      expect(await readdir(join(place, '..'))).toEqual(['saved']);
    },
  );
});

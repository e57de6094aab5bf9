/** Where machines are saved: what is refused before a fit, what is cleared, what is kept, and what readers see meanwhile. */
import { spawnSync } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { float32 } from '../../src/base/array.js';
import { nodeEngine } from '../../src/engine/node.js';
import { readSafetensors, writeSafetensors } from '../../src/interop/node.js';
import { arraySamples, fitKernelMachine, type KernelMachine } from '../../src/machines/index.js';
import { loadMachine, prepareMachineFolder, saveMachine } from '../../src/machines/node.js';
import { curve } from './data.js';

/** Called before a change to the disk or a reading of it, with its name and its first path; may fail in its place. */
const disk = vi.hoisted(() => ({ before: async (_name: string, _path: string): Promise<void> => undefined }));

vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>();
  const watched = <A extends unknown[], R>(name: string, change: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      await disk.before(name, String(args[0]));
      return change(...args);
    };
  };
  return {
    ...real,
    open: watched('open', real.open),
    rename: watched('rename', real.rename),
    mkdir: watched('mkdir', real.mkdir),
  };
});

const engine = nodeEngine({ threads: 1 });
const { inputs, targets } = curve(60);
const fitted = async (seed: number): Promise<KernelMachine> =>
  (await fitKernelMachine(engine, arraySamples(inputs, targets), { featureCount: 8, seed })).machine;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-place-'));
});
afterEach(async () => {
  disk.before = async () => undefined;
  await rm(folder, { recursive: true, force: true });
});

const failing = (name: string, path: string, code: string) => {
  disk.before = async (called, at) => {
    if (called === name && at === path) throw Object.assign(new Error(code), { code });
  };
};

describe('what was saved together is read together', () => {
  test('a machine that is saved again while it is read is read as the new one', async () => {
    const place = join(folder, 'machine');
    const [old, next] = [await fitted(1), await fitted(2)];
    await saveMachine(place, old);
    let saves = 0;
    disk.before = async (name, path) => {
      if (name !== 'open' || path !== join(place, 'model.safetensors') || saves > 0) return;
      saves++;
      await saveMachine(place, next); // between the reading of config.json and that of the weights
    };
    expect(await loadMachine(place)).toEqual(next);
    expect(saves).toBe(1);
  });

  test('any flipped bit is refused', async () => {
    const place = join(folder, 'machine');
    await saveMachine(place, await fitted(1));
    for (const name of ['config.json', 'model.safetensors']) {
      const path = join(place, name);
      const whole = await readFile(path);
      for (let at = 0; at < whole.length; at += 13) {
        const changed = Buffer.from(whole);
        changed[at]! ^= 1 << (at % 8);
        await writeFile(path, changed);
        const found = await loadMachine(place).catch((error: { code: string }) => error.code);
        // Whitespace between the keys of JSON says nothing.
        if (!/\s/.test(String.fromCharCode(whole[at]!))) expect([name, at, found]).toEqual([name, at, 'CHECKPOINT']);
      }
      await writeFile(path, whole);
    }
    await loadMachine(place);
  });

  test('tensors of one shape that changed places are refused', async () => {
    const place = join(folder, 'machine');
    await saveMachine(place, await fitted(1));
    const path = join(place, 'model.safetensors');
    const { tensors, metadata } = await readSafetensors(path);
    const swapped = new Map(tensors).set('mean', tensors.get('scale')!).set('scale', tensors.get('mean')!);
    await writeSafetensors(path, swapped, metadata);
    await expect(loadMachine(place)).rejects.toThrow(/damaged or of another save/);
  });

  test('a machine without digests is read with a note', async () => {
    const place = join(folder, 'machine');
    const machine = await fitted(1);
    await saveMachine(place, machine);
    const path = join(place, 'config.json');
    const { sha256: _, ...config } = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify(config));
    const notes: string[] = [];
    expect(await loadMachine(place, { onNote: (note) => notes.push(note) })).toEqual(machine);
    expect(notes).toEqual([expect.stringMatching(/model\.safetensors: .*no digest was kept/)]);
  });
});

describe('a place that cannot be written is refused before the fit', () => {
  test('a mount point, with the machine that is there left as it is', async () => {
    const place = join(folder, 'machine');
    await saveMachine(place, await fitted(1));
    failing('rename', place, 'EBUSY');
    await expect(prepareMachineFolder(place)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringMatching(/replaced as a whole, got a mount point \(EBUSY\)/),
    });
    expect(await readdir(folder)).toEqual(['machine']);
  });

  test('a folder above that is read-only, even where folders between are missing', async () => {
    failing('mkdir', join(folder, 'a'), 'EROFS');
    await expect(prepareMachineFolder(join(folder, 'a', 'b', 'machine'))).rejects.toThrow(/permission.*got EROFS/);
    failing('mkdir', join(folder, `.machine.${process.pid}.tmp`), 'EACCES');
    await expect(prepareMachineFolder(join(folder, 'machine'))).rejects.toThrow(/permission.*got EACCES/);
  });

  test('a file among the folders above', async () => {
    await writeFile(join(folder, 'a'), 'mine');
    await expect(prepareMachineFolder(join(folder, 'a', 'machine'))).rejects.toThrow(/got a file/);
  });

  test.each<[string, () => Promise<void>]>([
    ['weights without a configuration', () => foreignWeights()],
    [
      'weights of another model beside the configuration of a machine',
      async () => {
        await foreignWeights();
        await writeFile(join(folder, 'config.json'), '{"model": "kernel-machine"}');
      },
    ],
    ['the configuration of another model', () => writeFile(join(folder, 'config.json'), '{"model_type": "bert"}')],
    ['a configuration that is no object', () => writeFile(join(folder, 'config.json'), 'null')],
  ])('%s', async (_, prepare) => {
    await prepare();
    const read = async () =>
      Promise.all((await readdir(folder)).sort().map(async (name) => [name, await readFile(join(folder, name))]));
    const before = await read();
    await expect(prepareMachineFolder(folder)).rejects.toMatchObject({ code: 'CHECKPOINT' });
    await expect(saveMachine(folder, await fitted(1))).rejects.toMatchObject({ code: 'CHECKPOINT' });
    expect(await read()).toEqual(before);
  });

  const foreignWeights = async () => {
    await writeSafetensors(join(folder, 'model.safetensors'), new Map([['bert.embeddings', float32([1], [1])]]));
  };

  test('a place that can be written is left as it was, without folders that were not there', async () => {
    await prepareMachineFolder(join(folder, 'a', 'b', 'machine'));
    expect(await readdir(folder)).toEqual([]);
    const place = join(folder, 'machine');
    const machine = await fitted(1);
    await saveMachine(place, machine);
    await prepareMachineFolder(place);
    expect(await readdir(folder)).toEqual(['machine']);
    expect(await loadMachine(place)).toEqual(machine);
  });
});

describe('what is beside a machine', () => {
  test('drafts of killed saves are cleared, and nothing else', async () => {
    const { pid: dead } = spawnSync(process.execPath, ['-e', '']);
    const draft = async (name: string, ...files: string[]) => {
      await mkdir(join(folder, name));
      for (const file of files) await writeFile(join(folder, name, file), '');
    };
    await draft(`.machine.${dead}.tmp`, 'config.json', `model.safetensors.${dead}.tmp`);
    await draft(`.other.${dead}.tmp`, 'config.json');
    await draft('.machine.old.tmp', 'config.json');
    await writeFile(join(folder, `.machine.${dead + 1e6}.tmp`), 'a file');
    const kept = (await readdir(folder)).filter((name) => name !== `.machine.${dead}.tmp`);
    await prepareMachineFolder(join(folder, 'machine'));
    expect(await readdir(folder)).toEqual(kept);
  });

  test.each(['a folder that is there', 'a folder that is not there yet'])(
    'a link to %s stays a link',
    async (which) => {
      const [link, target] = [join(folder, 'link'), join(folder, 'real', 'machine')];
      await mkdir(which === 'a folder that is there' ? target : join(folder, 'real'), { recursive: true });
      await symlink(join('real', 'machine'), link);
      const [old, next] = [await fitted(1), await fitted(2)];
      await prepareMachineFolder(link);
      for (const machine of [old, next]) {
        await saveMachine(link, machine);
        expect((await lstat(link)).isSymbolicLink()).toBe(true);
        expect(await loadMachine(target)).toEqual(machine);
        expect(await loadMachine(link)).toEqual(machine);
      }
      expect((await readdir(folder)).sort()).toEqual(['link', 'real']);
      // Killed between two renames: the link leads nowhere, and its machine waits beside its place.
      await rename(target, join(folder, 'real', '.machine.replaced'));
      expect(await loadMachine(link)).toEqual(next);
    },
  );

  test('modes are kept when a machine is saved again', async () => {
    const place = join(folder, 'machine');
    await saveMachine(place, await fitted(1));
    await chmod(place, 0o700);
    await chmod(join(place, 'model.safetensors'), 0o600);
    await saveMachine(place, await fitted(2));
    expect((await stat(place)).mode & 0o777).toBe(0o700);
    expect((await stat(join(place, 'model.safetensors'))).mode & 0o777).toBe(0o600);
  });
});

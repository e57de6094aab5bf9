/** The lock of a run's folder while several ask for it, seen after every change that one of them makes to the disk. */
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { lockFolder } from '../../src/training/node.js';

/** What happens after a file was read, and after a change. */
const disk = vi.hoisted(() => ({ onRead(_path: string) {}, onChange() {} }));

vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>();
  const watched = <A extends unknown[], R>(change: (...args: A) => Promise<R>) => {
    return (...args: A): Promise<R> => change(...args).finally(() => disk.onChange());
  };
  const readFile = async (path: string, ...rest: never[]) => {
    const text = await real.readFile(path, ...rest);
    disk.onRead(path);
    return text;
  };
  return { ...real, readFile, link: watched(real.link), rename: watched(real.rename), rm: watched(real.rm) };
});

let folder: string;
const lock = () => join(folder, 'training.lock');
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-'));
});
afterEach(async () => {
  disk.onRead = () => undefined;
  disk.onChange = () => undefined;
  await rm(folder, { recursive: true, force: true });
});

const dead = `${JSON.stringify({ host: hostname(), pid: 999_999_999, started: '1' })}\n`;
const elsewhere = `${JSON.stringify({ host: 'elsewhere', pid: 1, started: '1' })}\n`;

test('a lock that another takes over meanwhile is never out of its place, and is refused', async () => {
  await writeFile(lock(), dead);
  let isTaken = false;
  disk.onRead = (path) => {
    if (isTaken || !path.endsWith('training.lock')) return;
    isTaken = true;
    writeFileSync(`${lock()}-other`, elsewhere);
    renameSync(`${lock()}-other`, lock());
  };
  const seen = new Set<string>();
  disk.onChange = () => {
    if (isTaken) seen.add(existsSync(lock()) ? readFileSync(lock(), 'utf8') : 'none');
  };
  await expect(lockFolder(folder)).rejects.toThrow(/got process 1 of the host elsewhere/);
  expect([...seen]).toEqual([elsewhere]);
  expect(await readdir(folder)).toEqual(['training.lock']);
});

test('a lock that is taken over is replaced in one change', async () => {
  await writeFile(lock(), dead);
  const seen = new Set<string>();
  disk.onChange = () => seen.add(readFileSync(lock(), 'utf8'));
  const { release } = await lockFolder(folder);
  const own = readFileSync(lock(), 'utf8');
  expect([...seen]).toEqual([dead, own]);
  disk.onChange = () => undefined;
  await release();
  expect(await readdir(folder)).toEqual([]);
});

test('a process that was killed while it took over a lock does not keep others from it', async () => {
  await writeFile(lock(), dead);
  const names: string[] = [];
  disk.onChange = () => names.push(...readdirSync(folder));
  await (await lockFolder(folder)).release();
  const right = names.find((name) => /^training\.lock\.[0-9a-f]{16}$/.test(name)) as string;
  disk.onChange = () => undefined;
  await writeFile(lock(), dead);
  await writeFile(join(folder, right), dead.replace('999999999', '999999998'));
  const { release } = await lockFolder(folder);
  expect(await readdir(folder)).toEqual(['training.lock']);
  await release();
});

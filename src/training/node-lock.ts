/** One training at a time in a folder. */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { messageOf, PerformerError } from '../base/errors.js';

/** The locks that this process holds or asks for. */
const held = new Set<string>();

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The other process that a lock names, while it lives. Our own number is that of a dead one: containers count alike. */
async function ownerOf(path: string): Promise<number | undefined> {
  const pid = Number.parseInt(await readFile(path, 'utf8').catch(() => ''), 10);
  return Number.isInteger(pid) && pid !== process.pid && isAlive(pid) ? pid : undefined;
}

/** Makes the lock appear with its content already in it, where the file system has links. False when there is one. */
async function place(path: string): Promise<boolean> {
  const draft = `${path}.${process.pid}`;
  try {
    await writeFile(draft, `${process.pid}\n`);
    await link(draft, path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') throw cause;
      return writeFile(path, `${process.pid}\n`, { flag: 'wx' });
    });
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw cause;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Removes the lock of a process that is gone, unless another took it over in the meantime. */
async function clear(path: string): Promise<void> {
  const doomed = `${path}.${process.pid}.old`;
  await rename(path, doomed).catch(() => undefined);
  if ((await ownerOf(doomed)) !== undefined) await link(doomed, path).catch(() => undefined);
  await rm(doomed, { force: true });
}

/**
 * Takes the lock of a folder and returns how to give it back. A lock whose process is gone is taken over.
 *
 * @throws CHECKPOINT when another training, of this process or another, holds it.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = resolve(folder, 'training.lock');
  if (held.has(path)) throw taken(folder, path, process.pid);
  held.add(path);
  try {
    await acquire(folder, path);
  } catch (cause) {
    held.delete(path);
    throw cause;
  }
  return async () => {
    held.delete(path);
    await rm(path, { force: true });
  };
}

async function acquire(folder: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const isOurs = await place(path).catch((cause: unknown) => {
      const message = `${folder}: expected to lock the folder, got ${messageOf(cause)}.`;
      throw new PerformerError('CHECKPOINT', message, { cause });
    });
    if (isOurs) return;
    const owner = await ownerOf(path);
    if (owner !== undefined) throw taken(folder, path, owner);
    await clear(path);
  }
  throw new PerformerError('CHECKPOINT', `${folder}: expected to lock the folder, got another training just starting.`);
}

function taken(folder: string, path: string, owner: number): PerformerError {
  const advice = `Wait for it or choose another folder; if that is no training, remove ${path}.`;
  return new PerformerError(
    'CHECKPOINT',
    `${folder}: expected no other training there, got process ${owner}. ${advice}`,
  );
}

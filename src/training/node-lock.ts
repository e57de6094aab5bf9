/** One training at a time in a folder. */
import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { messageOf, PerformerError } from '../base/errors.js';
import { readJson } from '../interop/node.js';

/** Who holds a lock. A number alone tells no process from others: each container counts from 1, and numbers come again. */
const ownerSchema = z.strictObject({
  host: z.string(),
  pid: z.int().min(1),
  /** When the process began, in the words of the system; empty where it does not tell. */
  started: z.string(),
});

type Owner = z.output<typeof ownerSchema>;

/** The locks that this process holds or asks for. */
const held = new Set<string>();

/** When a process began, in ticks of the clock since the machine did; empty where there is no such process or no /proc. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''; // after the name, which may hold anything
}

async function thisProcess(): Promise<Owner> {
  return { host: hostname(), pid: process.pid, started: await startOf(process.pid) };
}

/** Whether a process of this host lives. Where no start is told, our own number is that of a dead one. */
async function isAlive({ pid, started }: Owner): Promise<boolean> {
  const now = await startOf(pid);
  if (now !== '') return now === started;
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The process that a lock names, unless it is known to be gone. That of another host cannot be. */
async function ownerOf(path: string): Promise<Owner | undefined> {
  const { data: owner } = ownerSchema.safeParse(await readJson(path).catch(() => undefined));
  if (owner === undefined) return undefined; // cut short, when its process was killed
  return owner.host !== hostname() || (await isAlive(owner)) ? owner : undefined;
}

/** Makes the lock appear with its content already in it, where the file system has links. False when there is one. */
async function place(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, content);
    await link(draft, path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') throw cause;
      return writeFile(path, content, { flag: 'wx' });
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
  const doomed = `${path}.${randomUUID()}`;
  await rename(path, doomed).catch(() => undefined);
  if ((await ownerOf(doomed)) !== undefined) await link(doomed, path).catch(() => undefined);
  await rm(doomed, { force: true });
}

/** Removes what processes left beside the lock that were killed while they asked for it. */
async function clearDrafts(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const draft = join(dirname(path), name);
    if ((await ownerOf(draft)) === undefined) await rm(draft, { force: true });
  }
}

/**
 * Takes the lock of a folder and returns how to give it back. A lock whose process is gone is taken over; whether one of
 * another host is, nobody can tell from here.
 *
 * @throws CHECKPOINT when another training, of this process or another, holds it.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = resolve(folder, 'training.lock');
  const owner = await thisProcess();
  if (held.has(path)) throw taken(folder, path, owner);
  held.add(path);
  const content = `${JSON.stringify(owner)}\n`;
  try {
    await acquire(folder, path, content);
  } catch (cause) {
    held.delete(path);
    throw cause;
  }
  return async () => {
    held.delete(path);
    const isOurs = (await readFile(path, 'utf8').catch(() => '')) === content; // somebody may have removed it by hand
    if (isOurs) await rm(path, { force: true });
  };
}

async function acquire(folder: string, path: string, content: string): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const isOurs = await place(path, content).catch((cause: unknown) => {
      const message = `${folder}: expected to lock the folder, got ${messageOf(cause)}.`;
      throw new PerformerError('CHECKPOINT', message, { cause });
    });
    if (isOurs) return clearDrafts(path);
    const owner = await ownerOf(path);
    if (owner !== undefined) throw taken(folder, path, owner);
    await clear(path);
  }
  throw new PerformerError('CHECKPOINT', `${folder}: expected to lock the folder, got another training just starting.`);
}

function taken(folder: string, path: string, { host, pid }: Owner): PerformerError {
  const isHere = host === hostname();
  const got = isHere ? `process ${pid}` : `process ${pid} of the host ${host}, which cannot be looked up from here`;
  const advice = isHere
    ? `Wait for it or choose another folder; if that is no training, remove ${path}.`
    : 'Wait for it or choose another folder; when it is certain that nobody trains there, as after the restart of a ' +
      `container under another name, remove ${path}.`;
  return new PerformerError('CHECKPOINT', `${folder}: expected no other training there, got ${got}. ${advice}`);
}

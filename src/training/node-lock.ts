/** One training at a time in a folder. */
import { createHash, randomUUID } from 'node:crypto';
import { link, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { reasonOf } from '../data/node-read.js';

/** Who holds a lock. A number alone tells no process from others: each container counts from 1, and numbers come again. */
const ownerSchema = z.strictObject({
  host: z.string(),
  pid: z.int().min(1),
  /** When the process began, in the words of the system; empty where it does not tell. */
  started: z.string(),
});

type Owner = z.output<typeof ownerSchema>;

/** How often a lock that changes hands is looked at again, and how long it takes to do so. */
const [attempts, milliseconds] = [500, 10];

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

/** The text of a lock; undefined where there is none. */
function contentOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw cause;
  });
}

/** The process that a lock names, unless it is known to be gone. That of another host cannot be. */
async function ownerIn(content: string): Promise<Owner | undefined> {
  const { data: owner } = ownerSchema.safeParse(parseJson(content));
  if (owner === undefined) return undefined; // cut short, when its process was killed
  return owner.host !== hostname() || (await isAlive(owner)) ? owner : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Makes the lock appear with its content already in it, where the file system has links. False when it is there already. */
async function place(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, content);
    await link(draft, path).catch((cause: NodeJS.ErrnoException) => {
      // ENOENT: another took the draft for one left behind, and cleared it.
      if (cause.code === 'EEXIST' || cause.code === 'ENOENT') throw Object.assign(cause, { code: 'EEXIST' });
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

/**
 * Puts our lock in the place of that of a process that is gone, and returns whether it did. Who may do so is decided by a
 * lock named after the content that is replaced: as a process that is gone never writes its lock again, that content stays
 * until the holder of this second lock replaces it. The file is renamed over, so that the folder is locked all the time.
 */
async function takeOver(path: string, stale: string, content: string): Promise<boolean> {
  const right = `${path}.${createHash('sha256').update(stale).digest('hex').slice(0, 16)}`;
  if ((await acquire(right, content)) !== undefined) return false; // another is taking it over
  const draft = `${path}.${randomUUID()}`;
  try {
    if ((await contentOf(path)) !== stale) return false; // another has taken it over
    await writeFile(draft, content);
    await rename(draft, path);
    return true;
  } finally {
    await rm(draft, { force: true });
    await rm(right, { force: true });
  }
}

/** Takes a lock. Returns who holds it where another process does, or undefined when it is ours. */
async function acquire(path: string, content: string): Promise<Owner | undefined> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (await place(path, content)) return undefined;
    const found = await contentOf(path);
    if (found !== undefined) {
      const owner = await ownerIn(found);
      if (owner !== undefined) return owner;
      if (await takeOver(path, found, content)) return undefined;
    }
    await setTimeout(milliseconds); // until it was given back, or another took it over
  }
  throw new Error(`other processes that start for ${(attempts * milliseconds) / 1000} seconds`);
}

/** Removes what processes left beside the lock that were killed while they asked for it. */
async function clearDrafts(path: string): Promise<void> {
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(`${basename(path)}.`)) continue;
    const draft = join(dirname(path), name);
    if ((await ownerIn((await contentOf(draft)) ?? '')) === undefined) await rm(draft, { force: true });
  }
}

/** A lock on the folder of a run. */
export interface FolderLock {
  /** Whether the path of the folder still leads to this lock: the folder may have been removed or renamed, or the lock removed. */
  isHeld(): Promise<boolean>;
  /** Gives the lock back; what is no longer held is left alone. */
  release(): Promise<void>;
}

/**
 * Takes the lock of a folder. A lock whose process is gone is taken over; whether one of
 * another host is, nobody can tell from here.
 *
 * @throws CHECKPOINT when another training, of this process or another, holds it.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const owner = await thisProcess();
  const path = join(await realpath(folder).catch(unlockable(folder)), 'training.lock');
  if (held.has(path)) throw taken(folder, path, owner);
  held.add(path);
  const content = `${JSON.stringify(owner)}\n`;
  try {
    const other = await acquire(path, content).catch(unlockable(folder));
    if (other !== undefined) throw taken(folder, path, other);
    await clearDrafts(path).catch(unlockable(folder));
  } catch (cause) {
    held.delete(path);
    throw cause;
  }
  const isHeld = async () => (await contentOf(path).catch(() => undefined)) === content;
  const release = async () => {
    held.delete(path);
    if (await isHeld()) await rm(path, { force: true });
  };
  return { isHeld, release };
}

function unlockable(folder: string): (cause: unknown) => never {
  return (cause) => {
    const got = `${reasonOf(cause)} for its lock. Allow writing, or choose another.`;
    throw new PerformerError('CHECKPOINT', `${folder}: expected a folder to write to, got ${got}`, { cause });
  };
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

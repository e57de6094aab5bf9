/**
 * Folders that are replaced whole, in Node. A new one is filled beside its place as `.<name>.<pid>.tmp`. No system renames a
 * folder over another, so the old one waits as `.<name>.replaced` until the new one has the name: whoever is killed in
 * between leaves it there to be found. Links are followed: the folder that they lead to is replaced, and the link stays.
 */
import { mkdir, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { readError, reasonOf } from '../data/node-read.js';
import { followLinks } from './node-place.js';

/** Where a folder waits whose place is known. */
function asideOf(place: string): string {
  return join(dirname(place), `.${basename(place)}.replaced`);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function ignoreMissing(cause: NodeJS.ErrnoException): void {
  if (cause.code !== 'ENOENT') throw cause;
}

/**
 * The names in a directory, that of a folder which was put aside among them; none where there is no directory. Throws
 * CHECKPOINT where it cannot be read.
 */
export async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    if (reasonOf(cause) === 'ENOENT') return [];
    throw readError('CHECKPOINT', `read ${directory}`, cause);
  });
  return [...new Set(names.map((name) => /^\.(.+)\.replaced$/.exec(name)?.[1] ?? name))];
}

/** Where a folder is to be read: at its place or, while nothing has the name, beside it. */
export async function locateFolder(path: string): Promise<string> {
  if (await exists(path)) return path;
  const aside = asideOf(await followLinks(path).catch(() => path));
  return (await exists(aside)) ? aside : path;
}

/** Makes a folder and those that it lies in. Throws the system's error, and the true one: Node says ENOENT for EROFS. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch(async (cause: unknown) => {
    if (reasonOf(cause) !== 'ENOENT') throw cause;
    let missing = resolve(path);
    while (!(await exists(dirname(missing)))) missing = dirname(missing);
    await mkdir(missing);
    throw cause;
  });
}

/** Ends a replacement whose process was killed: the old folder gets its name back unless the new one has it. */
export async function recoverFolder(path: string): Promise<void> {
  const place = await followLinks(path);
  const aside = asideOf(place);
  if (await exists(place)) await rm(aside, { recursive: true, force: true });
  else await rename(aside, place).catch(ignoreMissing);
}

/** What a folder is called while it is filled or removed, at a place without links. */
function hiddenName(place: string, ending: 'tmp' | 'removed'): string {
  return join(dirname(place), `.${basename(place)}.${process.pid}.${ending}`);
}

/**
 * Writes a whole folder or none: `fill` writes into a new one beside the place, which then gets the name. Whatever was
 * there is removed. On failure it is untouched, the new one is removed, and what was thrown is thrown again. One process at
 * a time.
 */
export async function writeFolder(path: string, fill: (draft: string) => Promise<void>): Promise<void> {
  await makeFolder(dirname(resolve(path)));
  const place = await followLinks(path);
  const draft = hiddenName(place, 'tmp');
  try {
    await rm(draft, { recursive: true, force: true });
    await makeFolder(draft);
    await fill(draft);
    await replaceFolder(draft, place);
  } catch (cause) {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined); // the first failure is the one to tell
    throw cause;
  }
}

/**
 * Puts a folder aside and back: fails as `replaceFolder` would, as for the root of a mount, which can have no other name.
 * Worth knowing before long work.
 */
export async function tryReplacing(place: string): Promise<void> {
  const aside = asideOf(place);
  await rename(place, aside);
  await rename(aside, place);
}

/** Gives a whole folder the name of another, which is removed, or of none. One process at a time. */
export async function replaceFolder(draft: string, path: string): Promise<void> {
  const place = await followLinks(path);
  await recoverFolder(place);
  const aside = asideOf(place);
  await rename(place, aside).catch(ignoreMissing);
  await rename(draft, place).catch(async (cause: unknown) => {
    await recoverFolder(place);
    throw cause;
  });
  await rm(aside, { recursive: true, force: true });
}

/** Removes a folder: first its name, so that no half of it can be met. One that is gone already is no failure. */
export async function discardFolder(path: string): Promise<void> {
  const place = await followLinks(path);
  const doomed = hiddenName(place, 'removed');
  await rm(doomed, { recursive: true, force: true });
  await rename(place, doomed).catch(ignoreMissing);
  await rm(doomed, { recursive: true, force: true });
}

/**
 * Removes what killed processes left of the folders in a directory whose names are ours: `.<name>.<pid>.tmp`,
 * `.<name>.<pid>.removed`, and nothing else. Nobody may be writing them. Throws CHECKPOINT where the directory cannot be
 * read; one that is missing holds nothing.
 */
export async function removeLeftovers(directory: string, isOurs: (name: string) => boolean): Promise<void> {
  const parent = await realpath(directory).catch(() => undefined);
  if (parent === undefined) return;
  const entries = await readdir(parent, { withFileTypes: true }).catch((cause: unknown) => {
    throw readError('CHECKPOINT', `read ${directory}`, cause);
  });
  for (const entry of entries) {
    const name = /^\.(.+)\.\d+\.(tmp|removed)$/.exec(entry.name)?.[1];
    if (name === undefined || !entry.isDirectory() || !isOurs(name)) continue;
    await rm(join(parent, entry.name), { recursive: true, force: true });
  }
}

/** One line about a folder that could not be written; a PerformerError passes unchanged. */
export function folderError(path: string, cause: unknown): PerformerError {
  if (cause instanceof PerformerError) return cause;
  const message = `write ${path}: expected a folder to write, got ${reasonOf(cause)}. Choose another, or allow it.`;
  return new PerformerError('CHECKPOINT', message, { cause });
}

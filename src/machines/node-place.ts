/**
 * The place of a machine on disk, before it is written: whose folder is there, what killed saves left beside it, and
 * whether it can be replaced at all.
 */
import { access, constants, mkdir, readdir, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { reasonOf } from '../data/node-read.js';
import { readJson, readSafetensors } from '../interop/node.js';
import { recoverFolder, removeLeftovers, tryReplacing } from '../interop/node-folders.js';
import { followLinks } from '../interop/node-place.js';

/** What the folder of a machine holds. */
export const configName = 'config.json';
export const tensorsName = 'model.safetensors';

/** An error that says what a place met; a PerformerError passes unchanged. */
export function placeError(folder: string, cause: unknown): PerformerError {
  if (cause instanceof PerformerError) return cause;
  const reason = reasonOf(cause);
  const told = (message: string) => new PerformerError('CHECKPOINT', `${folder}: expected ${message}`, { cause });
  switch (reason) {
    case 'EBUSY':
    case 'EXDEV':
      return told(`a folder that can be replaced as a whole, got a mount point (${reason}). Name a folder within it.`);
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return told(`permission to write the folder and the one above it, got ${reason}. Allow it, or choose another.`);
    case 'ENOSPC':
    case 'EDQUOT':
      return told(`room on the disk, got ${reason}. Free some space or choose another.`);
    case 'ENOTDIR':
    case 'EEXIST':
      return told(`folders above it, got a file (${reason}). Choose another.`);
    default:
      return told(`a place for a folder, got ${reason}. Check the path and the disk.`);
  }
}

/** Throws CHECKPOINT unless a folder is not there yet, is empty, or holds a machine and nothing else. */
export async function expectOwnFolder(folder: string): Promise<void> {
  const refuse = (got: string) => {
    const expected = 'a new folder, or one of a kernel machine';
    throw new PerformerError('CHECKPOINT', `${folder}: expected ${expected}, got ${got}. Choose another.`);
  };
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    if (reasonOf(cause) === 'ENOENT') return;
    if (reasonOf(cause) === 'ENOTDIR' && (await isThere(folder))) refuse('a file');
    throw placeError(folder, cause);
  }
  if (names.length === 0) return;
  const foreign = names.filter((name) => name !== configName && name !== tensorsName);
  if (foreign.length > 0) refuse(`one with ${foreign.slice(0, 5).join(', ')}`);
  if (!names.includes(configName)) refuse(`one with ${tensorsName} alone`);
  const config = await readJson(join(folder, configName));
  if ((config as { model?: unknown } | null)?.model !== 'kernel-machine') refuse('the config.json of another model');
  if (!names.includes(tensorsName)) return;
  await readSafetensors(join(folder, tensorsName), (layout) => {
    if (!layout.has('weight') || !layout.has('intercept')) refuse('the weights of another model');
  });
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Makes a folder and those above it, where they are missing; returns the ones that were made, the innermost first. */
async function makeFolders(path: string): Promise<string[]> {
  if (await isThere(path)) return [];
  const above = await makeFolders(dirname(path));
  await mkdir(path);
  return [path, ...above];
}

/**
 * Makes sure, before a fit, that its machine can be saved at a folder: there is nothing yet, an empty folder, or one that
 * holds nothing but a machine, and it can be written and replaced. What killed saves left there is cleared. Throws
 * CHECKPOINT.
 */
export async function prepareMachineFolder(folder: string): Promise<void> {
  try {
    const made = await makeFolders(dirname(resolve(folder)));
    try {
      await rehearse(folder);
    } finally {
      for (const path of made) await rmdir(path);
    }
  } catch (cause) {
    throw placeError(folder, cause);
  }
}

/** All that saving does to the disk, without a machine. */
async function rehearse(folder: string): Promise<void> {
  const place = await followLinks(folder);
  await recoverFolder(place);
  await expectOwnFolder(folder);
  await removeLeftovers(dirname(place), (name) => name === basename(place));
  const draft = join(dirname(place), `.${basename(place)}.${process.pid}.tmp`);
  await mkdir(draft);
  await rmdir(draft);
  if (!(await isThere(place))) return;
  await access(place, constants.W_OK);
  await tryReplacing(place);
}

/** Where a path leads when something is to be written there. */
import type { Stats } from 'node:fs';
import { access, constants, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { reasonOf } from '../data/node-read.js';

/** As many links as Linux follows. */
const longestChain = 40;

/**
 * The path without links, of what is there or would be there: a link's target is what is written, and the link stays.
 * Throws the system's error, such as ENOENT for a folder that is missing.
 */
export async function followLinks(path: string): Promise<string> {
  let place = resolve(path);
  for (let hops = 0; hops <= longestChain; hops++) {
    const parent = await realpath(dirname(place));
    place = join(parent, basename(place));
    const target = await readlink(place).catch((cause: unknown) => {
      if (['EINVAL', 'ENOENT', 'UNKNOWN'].includes(reasonOf(cause))) return undefined; // no link; Windows says UNKNOWN
      throw cause;
    });
    if (target === undefined || isDescriptor(place)) return place;
    place = resolve(parent, target);
  }
  throw Object.assign(new Error('too many links'), { code: 'ELOOP' });
}

/** An open file of a process, as which `/dev/stdout` ends: what its link shows need not be a path. */
function isDescriptor(place: string): boolean {
  return /^\/proc\/\d+(\/task\/\d+)?\/fd\/\d+$/.test(place) || /^\/dev\/fd\/\d+$/.test(place);
}

/** What is to be written: a file that can be replaced whole, or a stream that takes the bytes as they come. */
export interface OutputPlace {
  /** Without links. */
  readonly place: string;
  readonly isStream: boolean;
  /** What is there now; nothing where the file is new. */
  readonly found: Stats | undefined;
}

/**
 * Looks at where a file would be written. Streams are pipes, devices of characters and open descriptors.
 * Throws the system's error where it cannot be written: EISDIR, EACCES, EROFS, ENOENT for a missing folder, and EINVAL for
 * disks and sockets.
 */
export async function locateOutput(path: string): Promise<OutputPlace> {
  const place = await followLinks(path);
  const found = await stat(place).catch((cause: unknown) => {
    if (reasonOf(cause) === 'ENOENT') return undefined;
    throw cause;
  });
  if (found?.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' });
  if (found !== undefined) await access(place, constants.W_OK);
  if (isDescriptor(place) || found?.isFIFO() || found?.isCharacterDevice()) return { place, isStream: true, found };
  if (found !== undefined && !found.isFile()) throw Object.assign(new Error('a disk or socket'), { code: 'EINVAL' });
  await access(dirname(place), constants.W_OK);
  return { place, isStream: false, found };
}

/** Files in Node that are written whole or not at all: a reader finds the old file or the new one. */
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { reasonOf } from '../data/node-read.js';
import { followLinks, locateOutput, type OutputPlace } from './node-place.js';

/** One write call moves at most this many bytes: Node refuses 2 GB and more. */
const largestWrite = 2 ** 30;

/** What a file is called while it is written. */
export function draftOf(path: string): string {
  return `${path}.${process.pid}.tmp`;
}

/** Removes the drafts of a file that killed processes left, beside the file that the path leads to. Nobody may be writing it. */
export async function removeDrafts(path: string): Promise<void> {
  const place = await followLinks(path);
  const start = `${basename(place)}.`;
  for (const entry of await readdir(dirname(place), { withFileTypes: true })) {
    const isDraft = entry.name.startsWith(start) && /^\d+\.tmp$/.test(entry.name.slice(start.length));
    if (isDraft && entry.isFile()) await rm(join(dirname(place), entry.name), { force: true });
  }
}

/** Whether there is anything at a path. */
export async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

export type Chunks = Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>;

/**
 * Writes a whole file or none: to `<path>.<pid>.tmp` beside it, flushed to the disk, then renamed over `path`. On any
 * failure the temporary file is removed and CHECKPOINT is thrown; whatever was at `path` is untouched, even if the
 * process is killed. Two writes of one path must not overlap in one process. Strings are written as UTF-8.
 *
 * Links are followed: the file that they lead to is replaced. The new file has the permissions of the old one, and its
 * owner where the system allows that. Pipes, terminals and other streams cannot be replaced, and get the bytes as they come.
 *
 * @param start gives what takes the place of the first bytes once all chunks are written, which no stream can have.
 */
export async function writeFileAtomic(path: string, chunks: Chunks, start?: () => Uint8Array): Promise<void> {
  const output = await locateOutput(path).catch((cause: unknown) => {
    throw writeError(path, cause);
  });
  if (!output.isStream) return replaceFile(path, output, chunks, start);
  if (start !== undefined)
    throw writeError(path, new Error('a stream, whose beginning cannot be written at the end'), '');
  await writeStream(path, output.place, chunks);
}

/** Throws CHECKPOINT where `writeFileAtomic` could not begin: to be asked before long work. */
export async function expectOutput(path: string): Promise<void> {
  await locateOutput(path).catch((cause: unknown) => {
    throw writeError(path, cause);
  });
}

async function writeStream(path: string, place: string, chunks: Chunks): Promise<void> {
  try {
    const file = await open(place, 'a');
    try {
      await writeChunks(file, chunks);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw writeError(path, cause, '');
  }
}

async function replaceFile(
  path: string,
  { place, found }: OutputPlace,
  chunks: Chunks,
  start?: () => Uint8Array,
): Promise<void> {
  const draft = draftOf(place);
  try {
    await rm(draft, { force: true });
    const file = await open(draft, 'wx', found?.mode);
    try {
      if (found !== undefined) {
        await file.chown(found.uid, found.gid).catch(() => undefined); // only some may give files away
        await file.chmod(found.mode);
      }
      await writeChunks(file, chunks);
      if (start !== undefined) await file.write(start(), 0, undefined, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, place);
  } catch (cause) {
    await rm(draft, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw writeError(path, cause);
  }
}

async function writeChunks(file: FileHandle, chunks: Chunks): Promise<void> {
  for await (const chunk of chunks) {
    await writeFully(file, typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk);
  }
}

/** Writes all of `bytes` at the end of what was written, in as many writes as it takes. */
export async function writeFully(file: Pick<FileHandle, 'write'>, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, largestWrite));
    if (bytesWritten === 0) throw new Error('a write of no bytes');
    done += bytesWritten;
  }
}

function writeError(path: string, cause: unknown, rest = ' The previous file is untouched.'): PerformerError {
  if (cause instanceof PerformerError) return cause;
  const reason = reasonOf(cause);
  return new PerformerError('CHECKPOINT', `write ${path}: expected ${expectation(reason)}${rest}`, { cause });
}

function expectation(reason: string): string {
  switch (reason) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return `room on the disk, got ${reason}. Free some space or write elsewhere.`;
    case 'ENOENT':
    case 'ENOTDIR':
      return `a directory to write in, got ${reason}. Create it or write elsewhere.`;
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `permission to write, got ${reason}. Allow it or write elsewhere.`;
    default:
      return `a file to write, got ${reason}. Check the path and the disk.`;
  }
}

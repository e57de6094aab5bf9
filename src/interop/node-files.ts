/** Checkpoint files in Node: safetensors tensor by tensor, JSON, and writing that leaves the old file or the new one. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Leaf } from '../base/tree.js';
import { openRegularFile, readError, readFully, reasonOf } from '../data/node-read.js';
import { encodeSafetensors, type Safetensors, tensorFromBuffer } from './safetensors.js';
import {
  parseSafetensorsHeader,
  prefixLength,
  refuse,
  safetensorsHeaderLength,
  storedDtypes,
} from './safetensors-header.js';

/** One write call moves at most this many bytes: Node refuses 2 GB and more. */
const largestWrite = 2 ** 30;

/** What a safetensors file holds, and the SHA-256 of all its bytes in hexadecimal. */
export interface SafetensorsFile extends Safetensors {
  readonly digest: string;
}

/**
 * The tensors of a safetensors file, each read from disk into an array of its own; F16 and BF16 become float32. `check`
 * gets names, dtypes and shapes before any tensor is read, and throws where they are not what is expected.
 * Throws CHECKPOINT when the file is missing, unreadable, not sound, or cut short while it is read.
 */
export async function readSafetensors(
  path: string,
  check?: (layout: ReadonlyMap<string, Leaf>) => void,
): Promise<SafetensorsFile> {
  const where = `read ${path}`;
  const { file, size } = await openRegularFile('CHECKPOINT', where, path);
  try {
    const prefix = await readBytes(where, file, 0, Math.min(prefixLength, size));
    const headerLength = safetensorsHeaderLength(where, prefix, size);
    const headerBytes = await readBytes(where, file, prefixLength, headerLength);
    const { entries, metadata } = parseSafetensorsHeader(where, headerBytes, size);
    check?.(new Map(entries.map(({ name, stored, shape }) => [name, { dtype: storedDtypes[stored].dtype, shape }])));
    const hash = createHash('sha256').update(prefix).update(headerBytes);
    const tensors = new Map<string, HostTensor>();
    for (const entry of entries) {
      const bytes = await readBytes(where, file, entry.start, entry.byteLength);
      hash.update(bytes);
      tensors.set(entry.name, tensorFromBuffer(entry, bytes.buffer));
    }
    return { tensors, metadata, digest: hash.digest('hex') };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw readError('CHECKPOINT', where, cause);
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected tensors that fit in memory, got ${size} bytes. Use a machine with more memory.`,
      { cause },
    );
  } finally {
    await file.close();
  }
}

async function readBytes(
  where: string,
  file: Pick<FileHandle, 'read'>,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const got = await readFully(file, bytes, position);
  if (got < length) refuse(where, `${length} bytes from ${position}`, `${got}, as the file was cut while it was read`);
  return bytes;
}

/**
 * Writes a safetensors file and returns the SHA-256 of its bytes in hexadecimal; see `writeFileAtomic` for what happens on
 * failure. The arrays are not copied: leave them unchanged until it is done. Throws CHECKPOINT.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  metadata?: Readonly<Record<string, string>>,
): Promise<string> {
  const chunks = encodeSafetensors(tensors, metadata);
  const hash = createHash('sha256');
  const digested = function* () {
    for (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await writeFileAtomic(path, digested());
  return hash.digest('hex');
}

/** What a file is called while it is written. */
export function draftOf(path: string): string {
  return `${path}.${process.pid}.tmp`;
}

/** Removes the drafts of a file that killed processes left. Nobody may be writing it. */
export async function removeDrafts(path: string): Promise<void> {
  const start = `${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    const isDraft = name.startsWith(start) && /^\d+\.tmp$/.test(name.slice(start.length));
    if (isDraft) await rm(join(dirname(path), name), { force: true });
  }
}

/**
 * Writes a whole file or none: to `<path>.<pid>.tmp` beside it, flushed to the disk, then renamed over `path`. On any
 * failure the temporary file is removed and CHECKPOINT is thrown; whatever was at `path` is untouched, even if the
 * process is killed. Two writes of one path must not overlap in one process. Strings are written as UTF-8.
 */
export async function writeFileAtomic(
  path: string,
  chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
): Promise<void> {
  const temporary = draftOf(path);
  try {
    const file = await open(temporary, 'w');
    try {
      for await (const chunk of chunks) {
        await writeFully(file, typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined); // the first failure is the one to tell
    throw writeError(path, cause);
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

function writeError(path: string, cause: unknown): PerformerError {
  if (cause instanceof PerformerError) return cause;
  const reason = reasonOf(cause);
  const told = (message: string) =>
    new PerformerError('CHECKPOINT', `write ${path}: expected ${message} The previous file is untouched.`, { cause });
  if (reason === 'ENOSPC' || reason === 'EDQUOT' || reason === 'EFBIG') {
    return told(`room on the disk, got ${reason}. Free some space or write elsewhere.`);
  }
  if (reason === 'ENOENT' || reason === 'ENOTDIR') {
    return told(`a directory to write in, got ${reason}. Create it or write elsewhere.`);
  }
  if (reason === 'EACCES' || reason === 'EPERM' || reason === 'EROFS') {
    return told(`permission to write, got ${reason}. Allow it or write elsewhere.`);
  }
  return told(`a file to write, got ${reason}. Check the path and the disk.`);
}

/** The value of a JSON file in UTF-8, unchecked. Throws CHECKPOINT when it is missing, unreadable or malformed. */
export async function readJson(path: string): Promise<unknown> {
  const where = `read ${path}`;
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw readError('CHECKPOINT', where, cause);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PerformerError('CHECKPOINT', `${where}: expected JSON, got other text. Get the file again.`, {
      cause,
    });
  }
}

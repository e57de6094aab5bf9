/** A corpus of files on disk as one byte source: positional reads only, so memory does not grow with the corpus. */
import type { FileHandle } from 'node:fs/promises';
import { PerformerError } from '../base/errors.js';
import { type ByteSource, expectRange, joinSources } from './byte-source.js';
import { openRegularFile, readError, readFully } from './node-read.js';

/** Bytes that are at hand until `close`. */
export interface OpenSource extends ByteSource {
  /** Releases what is open: nothing can be read after. */
  close(): Promise<void>;
}

/**
 * The files one after another, in the order given, as one source; `close` releases them. Throws DATA for no paths and
 * for a missing, empty or unreadable file or a directory; a read throws DATA when a file has shrunk since.
 */
export async function openFiles(paths: readonly string[]): Promise<OpenSource> {
  if (paths.length === 0) {
    throw new PerformerError('DATA', 'openFiles: expected at least one file, got none. Name the files to read.');
  }
  const files: FileHandle[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    const sources: ByteSource[] = [];
    for (const path of paths) {
      const { file, size } = await openRegularFile('DATA', `read ${path}`, path);
      files.push(file);
      if (size === 0) {
        throw new PerformerError('DATA', `read ${path}: expected some bytes, got an empty file. Leave it out.`);
      }
      sources.push(fileSource(path, file, size));
    }
    return { ...joinSources(sources), close };
  } catch (cause) {
    await close();
    throw cause;
  }
}

function fileSource(path: string, file: FileHandle, size: number): ByteSource {
  const where = `read ${path}`;
  return {
    length: size,
    async read(offset, length) {
      expectRange(where, offset, length, size);
      const bytes = new Uint8Array(length);
      const got = await readFully(file, bytes, offset).catch((cause: unknown) => {
        throw readError('DATA', where, cause);
      });
      if (got < length) {
        throw new PerformerError(
          'DATA',
          `${where}: expected ${length} bytes from ${offset}, got ${got}. ` +
            'The file has shrunk since it was opened; leave it unchanged while it is read.',
        );
      }
      return bytes;
    },
  };
}

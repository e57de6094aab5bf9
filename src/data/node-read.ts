/** Reading files in Node: open only what is a file, read until everything asked for is there, say clearly what failed. */
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { type ErrorCode, messageOf, PerformerError } from '../base/errors.js';

/** One read call moves at most this many bytes: Node refuses 2 GB and more. */
const largestRead = 2 ** 30;

/** The system's code of a failure, such as ENOENT, or else its message. */
export function reasonOf(cause: unknown): string {
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? messageOf(cause);
}

/** An error that tells what opening or reading a file met; a PerformerError passes unchanged. */
export function readError(code: ErrorCode, where: string, cause: unknown): PerformerError {
  if (cause instanceof PerformerError) return cause;
  const reason = reasonOf(cause);
  const told = (message: string) => new PerformerError(code, `${where}: expected ${message}`, { cause });
  if (reason === 'ENOENT' || reason === 'ENOTDIR') return told('a file, got none there. Check the path.');
  if (reason === 'EISDIR') return told('a file, got a directory. Name the files in it.');
  if (reason === 'EACCES' || reason === 'EPERM') return told(`a readable file, got ${reason}. Check its permissions.`);
  return told(`a readable file, got ${reason}. Check the disk and the path.`);
}

/** An open file and its size in bytes. Throws `code` when the path is no readable regular file. */
export async function openRegularFile(
  code: ErrorCode,
  where: string,
  path: string,
): Promise<{ file: FileHandle; size: number }> {
  try {
    const found = await stat(path); // before open, which would wait for ever on a pipe
    if (found.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' });
    if (!found.isFile()) {
      throw new PerformerError(code, `${where}: expected a file, got a device or pipe. Write it to a file first.`);
    }
    return { file: await open(path, 'r'), size: found.size };
  } catch (cause) {
    throw readError(code, where, cause);
  }
}

/** Fills `into` from `position` of the file, in as many reads as it takes; returns how many bytes there were. */
export async function readFully(file: Pick<FileHandle, 'read'>, into: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await file.read(into, done, Math.min(into.length - done, largestRead), position + done);
    if (bytesRead === 0) break; // the end of the file
    done += bytesRead;
  }
  return done;
}

/** All bytes of a file. Throws DATA where it is none that can be read. */
export async function readWhole(path: string): Promise<Uint8Array> {
  const where = `read ${path}`;
  const { file } = await openRegularFile('DATA', where, path);
  await file.close();
  return readFile(path).catch((cause: unknown) => {
    throw readError('DATA', where, cause);
  });
}

/** Files that a command writes when its work is done. */
import { dirname } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { reasonOf } from '../data/node-read.js';
import { writeFileAtomic } from '../interop/node.js';
import { expectOutput } from '../interop/node-files.js';
import { usageError } from './command.js';
import { type Io, writeAll } from './io.js';

/** Names of standard output; the first is understood everywhere. */
const standardOutputs = ['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'];

export function isStandardOutput(path: string): boolean {
  return standardOutputs.includes(path);
}

/** Throws DATA before the work begins where the file cannot be written, with the cause. */
export async function expectWritable(flag: string, path: string): Promise<void> {
  if (isStandardOutput(path)) return;
  await expectOutput(path).catch((cause: unknown) => {
    const reason = reasonOf(cause instanceof PerformerError ? cause.cause : cause);
    const isMissing = reason === 'ENOENT';
    const expected = isMissing ? `the folder ${dirname(path)} for ${path}` : `a file to write at ${path}`;
    throw new PerformerError('DATA', `${flag}: expected ${expected}, got ${isMissing ? 'none' : reason}.`, { cause });
  });
}

/** The same for a command that has other text for standard output. Throws USAGE for that. */
export async function expectFile(flag: string, path: string): Promise<void> {
  if (isStandardOutput(path)) {
    throw usageError(`${flag}: expected a file, got standard output, where the text goes. Name a file.`);
  }
  await expectWritable(flag, path);
}

/** Writes a file whole, or to standard output as it comes. */
export async function writeOutput(
  io: Io,
  path: string,
  chunks: Iterable<string> | AsyncIterable<string>,
): Promise<void> {
  if (!isStandardOutput(path)) return writeFileAtomic(path, chunks);
  for await (const chunk of chunks) await writeAll(io.stdout, chunk);
}

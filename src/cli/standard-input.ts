/** Standard input, pipes and devices, which can be read once and have no length. */
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf, PerformerError } from '../base/errors.js';
import { bytesSource, joinSources } from '../data/index.js';
import { type OpenSource, openFiles } from '../data/node.js';
import { readFully } from '../data/node-read.js';
import { writeFully } from '../interop/node-files.js';
import { usageError } from './command.js';
import { formatCount } from './format.js';
import type { Io } from './io.js';

/** The word for standard input in the place of a file. */
export const standardInput = '-';

/** The most bytes that are taken into memory from what has no length. */
const mostBytes = 2 ** 26;

/** The bytes of a stream as they come. */
export async function* bytesOf(stream: Io['stdin']): AsyncGenerator<Uint8Array> {
  for await (const piece of stream) yield typeof piece === 'string' ? Buffer.from(piece) : piece;
}

/** All bytes of a stream that ends. Throws DATA where it goes on beyond 64 MiB. */
export async function readStream(where: string, stream: Io['stdin'], most = mostBytes): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of bytesOf(stream)) {
    length += bytes.length;
    if (length > most) {
      throw new PerformerError(
        'DATA',
        `${where}: expected at most ${formatCount(most)} bytes from a pipe or device, got more. ` +
          'Write them to a file, which may be of any size.',
      );
    }
    pieces.push(bytes);
  }
  return Buffer.concat(pieces);
}

/** The same of a pipe or device that has a name. Throws DATA where it cannot be read as well. */
export async function readPipe(where: string, path: string): Promise<Uint8Array> {
  try {
    return await readStream(`${where} ${path}`, createReadStream(path));
  } catch (cause) {
    if (cause instanceof PerformerError) throw cause;
    throw new PerformerError('DATA', `${where}: expected a file to read, got ${messageOf(cause)}.`, { cause });
  }
}

/** The files one after another, with standard input in the place of `-`: kept in a temporary file, as it is read twice. */
export async function openTexts(words: readonly string[], io: Io): Promise<OpenSource> {
  if (!words.includes(standardInput)) return openFiles(words);
  if (words.indexOf(standardInput) !== words.lastIndexOf(standardInput)) {
    throw usageError('-: expected standard input once among the files, got it twice.');
  }
  const opened: OpenSource[] = [];
  const close = async () => {
    await Promise.all(opened.map((source) => source.close()));
  };
  try {
    for (const word of words) opened.push(word === standardInput ? await spool(io.stdin) : await openFiles([word]));
  } catch (cause) {
    await close();
    throw cause;
  }
  return { ...joinSources(opened), close };
}

/** Throws USAGE where standard input is among files that a run reads many times, and again when it goes on. */
export function expectStored(where: string, words: readonly string[]): void {
  if (!words.includes(standardInput)) return;
  throw usageError(
    `${where}: expected files, got - for standard input, which can be read once: a run reads its text many times, and ` +
      'again when it is resumed. Write it to a file first: … > text.txt',
  );
}

/** A stream as a file that has no name any more, so that nothing is left of it however the process ends. */
async function spool(stream: Io['stdin']): Promise<OpenSource> {
  const folder = await mkdtemp(join(tmpdir(), 'performer-'));
  let file: FileHandle | undefined;
  try {
    file = await open(join(folder, 'text'), 'wx+');
    await rm(folder, { recursive: true });
    let length = 0;
    for await (const bytes of bytesOf(stream)) {
      await writeFully(file, bytes);
      length += bytes.length;
    }
    if (length > 0) return spooled(file, length);
  } catch (cause) {
    await file?.close();
    await rm(folder, { recursive: true, force: true });
    const got = `${messageOf(cause)}. Free some space, or set TMPDIR to a folder that has some.`;
    throw new PerformerError('DATA', `standard input: expected to keep it in a temporary file, got ${got}`, { cause });
  }
  await file.close();
  throw new PerformerError('DATA', 'standard input: expected some bytes, got none.');
}

function spooled(file: FileHandle, length: number): OpenSource {
  return {
    length,
    async read(offset, count) {
      const bytes = new Uint8Array(count);
      const got = await readFully(file, bytes, offset);
      return got === count ? bytes : bytesSource(bytes.subarray(0, got)).read(0, count);
    },
    close: () => file.close(),
  };
}

/** The files of a tokenizer on disk, for Node. */
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { readWhole } from './node-read.js';
import type { Tokenizer } from './tokenizer.js';
import { huggingFaceTokenizer, tokenizerConfigFile, tokenizerFile } from './tokenizer-files.js';

/** Bytes of a file at most. */
const largestFile = 2 ** 27;

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

/** The `tokenizer.json` of a folder, and the `tokenizer_config.json` beside it; none where there is none. */
export async function readTokenizerFolder(folder: string): Promise<ReadonlyMap<string, Uint8Array>> {
  return filesAt(join(folder, tokenizerFile));
}

async function filesAt(path: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const places = { [tokenizerFile]: path, [tokenizerConfigFile]: join(dirname(path), tokenizerConfigFile) };
  const files = new Map<string, Uint8Array>();
  for (const [name, place] of Object.entries(places)) {
    const size = await sizeOf(place);
    if (size === undefined) continue;
    if (size > largestFile) {
      throw new PerformerError(
        'CHECKPOINT',
        `${place}: expected at most ${largestFile} bytes, got ${size}. Check the path.`,
      );
    }
    files.set(name, await readWhole(place));
  }
  return files.has(tokenizerFile) ? files : new Map();
}

/**
 * The tokenizer of a `tokenizer.json`, or of a folder with one; a `tokenizer_config.json` beside it is read, too.
 *
 * @throws CHECKPOINT where there is none, or it is none that is supported.
 */
export async function readTokenizer(path: string): Promise<Tokenizer> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
  const file = isFolder ? join(path, tokenizerFile) : path;
  const files = await filesAt(file);
  if (files.size > 0) return huggingFaceTokenizer(files, `${dirname(file)}/`);
  throw new PerformerError('CHECKPOINT', `${file}: expected a tokenizer.json, got none there. Check the path.`);
}

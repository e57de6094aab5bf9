/** Indexes of texts on disk, for Node (see `text-index.ts`), written and read as streams: an index may be larger than memory. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { readError, readFully } from '../data/node-read.js';
import { checkDigest, seal, unseal } from '../interop/index.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { isThere, writeFully } from '../interop/node-files.js';
import { folderError, writeFolder } from '../interop/node-folders.js';
import { type NpyFile, openNpy, writeNpy } from '../interop/node-npy.js';
import { type NearestOptions, NearestSearch } from './nearest.js';
import {
  aboutFile,
  type Hit,
  type IndexAbout,
  type IndexedText,
  indexError,
  parseAbout,
  parseText,
  textsFile,
  vectorsFile,
} from './text-index.js';

/** A text with its vector. */
export interface TextVector extends IndexedText {
  readonly vector: Float32Array;
}

/** An index whose files are open. */
export interface TextIndex {
  readonly about: IndexAbout;
  /**
   * The texts whose vectors are nearest to that of a query, the nearest first; all of them where `count` is more than there are.
   *
   * @throws CONFIG for a count that is none; DATA for a vector of other dimensions, for numbers that are not finite in it or in
   *   the index, and where a file was changed since it was opened.
   */
  search(vector: Float32Array, options?: NearestOptions): Promise<readonly Hit[]>;
  /** Closes the files. */
  close(): Promise<void>;
}

/** Numbers of vectors that are looked at together. */
const blockLength = 2 ** 20;

/** Where a text stands, as editors and terminals understand it. */
export function placeOf({ file, line }: Pick<IndexedText, 'file' | 'line'>): string {
  return line === undefined ? file : `${file}:${line}`;
}

/**
 * Writes an index, whole or not at all, and returns how many texts it has. The folder must not exist.
 *
 * @throws USAGE where it does; DATA where there are no texts; NUMERIC for a vector with numbers that are not finite; CHECKPOINT
 *   where it cannot be written.
 */
export async function writeTextIndex(
  path: string,
  about: Omit<IndexAbout, 'count'>,
  texts: AsyncIterable<readonly TextVector[]>,
): Promise<number> {
  await expectNew(path);
  let count = 0;
  await writeFolder(path, async (draft) => {
    count = await writeRows(draft, about.vectors.dimensions, texts);
    if (count === 0) throw new PerformerError('DATA', `${path}: expected texts to search in, got none.`);
    const digests: Record<string, string> = {};
    for (const name of [vectorsFile, textsFile]) digests[name] = (await scan(join(draft, name))).digest;
    const content = JSON.stringify(seal({ ...about, count }, digests), undefined, 2);
    await writeFileAtomic(join(draft, aboutFile), [`${content}\n`]);
  }).catch((cause: unknown) => {
    throw folderError(path, cause);
  });
  return count;
}

/** Throws USAGE where something stands in the place of a new index. */
export async function expectNew(path: string): Promise<void> {
  if (!(await isThere(path))) return;
  throw new PerformerError('USAGE', `index: expected a folder that does not exist, got ${path}. Name another.`);
}

async function writeRows(
  folder: string,
  columns: number,
  pools: AsyncIterable<readonly TextVector[]>,
): Promise<number> {
  const lines = await open(join(folder, textsFile), 'wx');
  const vectors = async function* () {
    for await (const pool of pools) {
      const texts = pool.map(({ vector, ...text }) => {
        if (vector.every(Number.isFinite)) return `${JSON.stringify(text)}\n`;
        throw new PerformerError('NUMERIC', `${placeOf(text)}: expected a finite vector, got another.`);
      });
      await writeFully(lines, new TextEncoder().encode(texts.join('')));
      yield pool.map(({ vector }) => vector);
    }
    await lines.sync();
  };
  try {
    return await writeNpy(join(folder, vectorsFile), columns, vectors());
  } finally {
    await lines.close();
  }
}

/**
 * Opens an index, and reads its files once to see that they are whole.
 *
 * @throws CHECKPOINT where there is none, or it is not as it was written; DATA for a file of vectors that is none.
 */
export async function openTextIndex(path: string): Promise<TextIndex> {
  const where = join(path, aboutFile);
  if (!(await isThere(where))) {
    throw indexError(path, 'a folder with an index of texts', `one without ${aboutFile}, or none`);
  }
  const { content, digests } = unseal(where, await readJson(where));
  const about = parseAbout(where, content);
  const [vectorsPath, textsPath] = [join(path, vectorsFile), join(path, textsFile)];
  const vectors = await openNpy(vectorsPath);
  try {
    const { rows, columns } = vectors;
    const { count } = about;
    const { dimensions } = about.vectors;
    if (rows !== count || columns !== dimensions) {
      throw indexError(vectorsPath, `${count} rows of ${dimensions} numbers`, `${rows} of ${columns}`);
    }
    const { ends, digest } = await scan(textsPath, count);
    if (ends.length !== count) throw indexError(textsPath, `${count} lines`, 'more or fewer');
    checkDigest(textsPath, digests, textsFile, digest);
    checkDigest(vectorsPath, digests, vectorsFile, (await scan(vectorsPath)).digest);
    return textIndex(about, vectors, { path: textsPath, file: await open(textsPath), ends });
  } catch (cause) {
    await vectors.close();
    throw cause;
  }
}

/** The digest of a file, and where each of its lines ends, of which there should be so many. */
async function scan(path: string, lines = 0): Promise<{ readonly digest: string; readonly ends: Float64Array }> {
  const hash = createHash('sha256');
  const ends = new Float64Array(lines);
  let [count, offset] = [0, 0];
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      for (let at = chunk.indexOf(10); at >= 0 && count < lines; at = chunk.indexOf(10, at + 1))
        ends[count++] = offset + at;
      offset += chunk.length;
    }
  } catch (cause) {
    throw readError('CHECKPOINT', `read ${path}`, cause);
  }
  const isWhole = count === lines && (lines === 0 || ends[count - 1] === offset - 1);
  return { digest: hash.digest('hex'), ends: isWhole ? ends : new Float64Array(0) };
}

interface Lines {
  readonly path: string;
  readonly file: FileHandle;
  readonly ends: Float64Array;
}

function textIndex(about: IndexAbout, vectors: NpyFile, lines: Lines): TextIndex {
  const { rows, columns } = vectors;
  const blockRows = Math.max(1, Math.floor(blockLength / columns));
  return {
    about,
    async search(vector, options) {
      if (vector.length !== columns) {
        throw new PerformerError('DATA', `search: expected a vector of ${columns} numbers, got ${vector.length}.`);
      }
      const search = new NearestSearch(vector, options);
      for (let first = 0; first < rows; first += blockRows) {
        search.look(await vectors.read(first, Math.min(blockRows, rows - first)), first);
      }
      const hits: Hit[] = [];
      for (const { index, score } of search.found) hits.push({ score, ...(await readText(lines, index)) });
      return hits;
    },
    async close() {
      await vectors.close();
      await lines.file.close();
    },
  };
}

async function readText({ path, file, ends }: Lines, index: number): Promise<IndexedText> {
  const start = index === 0 ? 0 : (ends[index - 1] as number) + 1;
  const bytes = new Uint8Array((ends[index] as number) - start);
  await readFully(file, bytes, start);
  return parseText(`${path}, line ${index + 1}`, new TextDecoder().decode(bytes));
}

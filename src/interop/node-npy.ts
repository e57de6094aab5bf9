/** NumPy's .npy files with a matrix of float32 on disk, for Node (see `npy.ts`): written and read as streams of rows. */
import { PerformerError } from '../base/errors.js';
import { openRegularFile, readFully } from '../data/node-read.js';
import { writeFileAtomic } from './node-files.js';
import { type NpyLayout, npyHeader, npyLayout } from './npy.js';

/** Bytes of a header at most. */
const longestHeader = 2 ** 16 + 10;

/** A matrix on disk, of which the file stays open. */
export interface NpyFile extends NpyLayout {
  /** Some rows one behind another. Throws DATA where the file was cut since it was opened. */
  read(first: number, count: number): Promise<Float32Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/**
 * Writes rows of `columns` numbers each as a file, whole or not at all, and returns how many there were. Throws CHECKPOINT
 * where it cannot be written, as to a pipe: the beginning of the file says how many rows come.
 */
export async function writeNpy(
  path: string,
  columns: number,
  rows: AsyncIterable<readonly Float32Array[]>,
): Promise<number> {
  let count = 0;
  const chunks = async function* () {
    yield npyHeader(0, columns);
    for await (const pool of rows) {
      const values = new Float32Array(pool.length * columns);
      pool.forEach((row, at) => values.set(row, at * columns));
      count += pool.length;
      yield new Uint8Array(values.buffer);
    }
  };
  await writeFileAtomic(path, chunks(), () => npyHeader(count, columns));
  return count;
}

/** Opens a file. Throws DATA where there is none, for another file than `npyLayout` knows, and for one that was cut. */
export async function openNpy(path: string): Promise<NpyFile> {
  const where = `read ${path}`;
  const { file, size } = await openRegularFile('DATA', where, path);
  try {
    const head = new Uint8Array(Math.min(size, longestHeader));
    await readFully(file, head, 0);
    const layout = npyLayout(where, head, size);
    const { columns, start } = layout;
    return {
      ...layout,
      async read(first, count) {
        const values = new Float32Array(count * columns);
        const bytes = new Uint8Array(values.buffer);
        const got = await readFully(file, bytes, start + 4 * first * columns);
        if (got === bytes.length) return values;
        const expected = `${bytes.length} bytes from row ${first}`;
        throw new PerformerError(
          'DATA',
          `${where}: expected ${expected}, got ${got}, as it was cut while it was read.`,
        );
      },
      close: () => file.close(),
    };
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

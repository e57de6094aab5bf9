/**
 * IDX files, in which MNIST and its kin come: a header of a type and sizes, big-endian, and values of a byte, plain or in
 * gzip (http://yann.lecun.com/exdb/mnist).
 */
import { messageOf, PerformerError } from '../base/errors.js';
import { concatenate } from './byte-source.js';
import type { Image } from './image.js';

/** The content of an IDX file of bytes. */
export interface IdxArray {
  /** [count] of labels, [count, height, width] or [count, height, width, channels] of images. */
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** The most values that are read into memory. */
const mostValues = 2 ** 31;

/** Whether bytes begin as an IDX file or a gzip file do. */
export function isIdx(bytes: Uint8Array): boolean {
  return isGzip(bytes) || (bytes[0] === 0 && bytes[1] === 0 && (bytes[2] as number) >= 8);
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** An IDX file of bytes, plain or in gzip. Throws DATA, with `where` before it, for another file and one that is not whole. */
export async function decodeIdx(bytes: Uint8Array, where = 'decodeIdx'): Promise<IdxArray> {
  const refused = (expected: string, got: string, cause?: unknown) =>
    new PerformerError('DATA', `${where}: expected ${expected}, got ${got}.`, { cause });
  let [shape, total, length]: [number[], number, number] = [[], 4, 0];
  const pieces: Uint8Array[] = [];
  /** Takes a piece. The header is known as soon as it is there, and nothing beyond what it says is kept. */
  const take = (piece: Uint8Array) => {
    pieces.push(piece);
    length += piece.length;
    if (shape.length === 0 && length >= 4) {
      const header = concatenate(pieces, length);
      const [first, second, type, axes] = header as unknown as [number, number, number, number];
      if (first !== 0 || second !== 0 || type !== 8 || axes < 1 || axes > 4) {
        throw refused('an IDX file of bytes with one to four axes', `one that begins with ${header.subarray(0, 4)}`);
      }
      if (length < 4 + 4 * axes) return;
      const view = new DataView(header.buffer);
      shape = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
      const values = shape.reduce((product, size) => product * size, 1);
      if (values === 0 || values > mostValues) throw refused(`from 1 to ${mostValues} values`, shape.join('×'));
      total = 4 + 4 * axes + values;
    }
    if (shape.length > 0 && length > total) throw refused(`${total} bytes, as its header says`, 'more');
  };
  try {
    if (isGzip(bytes)) for await (const piece of unzipped(bytes)) take(piece);
    else take(bytes);
  } catch (cause) {
    if (cause instanceof PerformerError) throw cause;
    throw refused('a whole gzip file', messageOf(cause), cause);
  }
  if (shape.length === 0 || length < total) throw refused(`${total} bytes at least`, `${length}`);
  return { shape, data: concatenate(pieces, length).subarray(4 + 4 * shape.length) };
}

/** In pieces, so that no more is unpacked than is asked for. */
async function* unzipped(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  const reader = source.pipeThrough(new DecompressionStream('gzip')).getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value as Uint8Array;
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** The images of an IDX file with three axes, or with four of which the last is 1 or 3. Throws DATA for others. */
export function idxImages({ shape, data }: IdxArray, where = 'idxImages'): readonly Image[] {
  const [count = 0, height = 0, width = 0, channels = 1] = shape;
  if (shape.length < 3 || (channels !== 1 && channels !== 3)) {
    const expected = 'images as [count, height, width] or [count, height, width, 1 or 3]';
    throw new PerformerError('DATA', `${where}: expected ${expected}, got [${shape.join(', ')}].`);
  }
  const size = height * width * channels;
  return Array.from({ length: count }, (_, at) => {
    return { height, width, channels, pixels: data.subarray(at * size, (at + 1) * size) };
  });
}

/** Files of images, made as their formats say: PNG of every kind, a grey JPEG, and IDX. */
import { crc32, deflateSync } from 'node:zlib';
import type { Image } from '../../src/data/index.js';

/** 8×8 grey: 16·(row + column) + 8, but for what JPEG loses. */
export const greyJpeg = Buffer.from(
  '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/' +
    'wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEI' +
    'I0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ip' +
    'qrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AMr9m39m3/j1/wBF9P4a/9k=',
  'base64',
);

/** A chunk of a PNG. */
export function chunk(name: string, data: Uint8Array | readonly number[]): Buffer {
  const body = Buffer.concat([Buffer.from(name), Buffer.from(data)]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length, 0);
  numbers.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([numbers.subarray(0, 4), body, numbers.subarray(4)]);
}

export interface PngParts {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  /** 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha. */
  readonly colour: number;
  readonly interlace?: number;
  /** The bytes of each row. */
  readonly rows: readonly (readonly number[])[];
  /** Chunks between the header and the pixels. */
  readonly before?: readonly Buffer[];
  /** The compressed pixels in place of those of the rows. */
  readonly pixels?: Uint8Array;
}

export function pngOf({ width, height, depth, colour, interlace = 0, rows, before = [], pixels }: PngParts): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, interlace], 8);
  const data = pixels ?? deflateSync(Buffer.concat(rows.map((row) => Buffer.from([0, ...row]))));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), ...before, chunk('IDAT', data), chunk('IEND', [])]);
}

/** An IDX file of bytes. */
export function idxOf(shape: readonly number[], data: ArrayLike<number>): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  return Buffer.concat([header, Buffer.from(Array.from(data))]);
}

/** Grey images that are bright on the left or on the right, and say which. */
export function halves(count: number, side = 4): { readonly image: Image; readonly label: string }[] {
  return Array.from({ length: count }, (_, index) => {
    const isLeft = index % 2 === 0;
    const pixels = Uint8Array.from({ length: side * side }, (__, at) => {
      const isBright = at % side < side / 2 === isLeft;
      return (isBright ? 200 : 20) + ((index * 7 + at * 3) % 40);
    });
    return { image: { height: side, width: side, channels: 1, pixels }, label: isLeft ? 'left' : 'right' };
  });
}

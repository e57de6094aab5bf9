/**
 * PNG and JPEG as images, and images as PNG. Transparent pixels stand before white; of 16 bits a value the upper eight are
 * kept; a palette is RGB.
 */
import { convertIndexedToRgb, type DecodedPng, decode, encode } from 'fast-png';
import { decode as decodeJpegFile } from 'jpeg-js';
import { messageOf, PerformerError } from '../base/errors.js';
import type { Image } from './image.js';

/** The most pixels of an image: a small file may say that it is of any size. */
const mostPixels = 2 ** 24;

/** The pixels of a PNG or JPEG file. Throws DATA, with `where` before it, for what is neither, not whole, or damaged. */
export function decodeImage(bytes: Uint8Array, where = 'decodeImage'): Image {
  const decoder = isPng(bytes) ? decodePng : bytes[0] === 0xff && bytes[1] === 0xd8 ? decodeJpeg : undefined;
  if (decoder === undefined) throw refused(where, 'a PNG or JPEG file, got another');
  try {
    return decoder(bytes);
  } catch (cause) {
    throw refused(where, `a whole PNG or JPEG file, got one that is not: ${messageOf(cause)}`, cause);
  }
}

/** An image as the bytes of a PNG file. */
export function encodePng({ height, width, channels, pixels }: Image): Uint8Array {
  return encode({ height, width, channels, depth: 8, data: pixels });
}

function refused(where: string, expected: string, cause?: unknown): PerformerError {
  return new PerformerError('DATA', `${where}: expected ${expected.replace(/\.?$/, '.')}`, { cause });
}

const pngSignature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function isPng(bytes: Uint8Array): boolean {
  return pngSignature.every((byte, at) => bytes[at] === byte);
}

/** Where the header of a PNG has its type of colour, that of palettes, and where it tells of interlacing. */
const [colourAt, ofPalette, interlaceAt] = [25, 3, 28];

function decodePng(bytes: Uint8Array): Image {
  const png = decode(knownChunks(bytes), { checkCrc: true });
  const { width, height, depth } = png;
  if (depth < 8 && bytes[interlaceAt] === 1) throw new Error(`it is interlaced and has ${depth} bits a value`);
  const values = bytes[colourAt] === ofPalette ? convertIndexedToRgb(png) : valuesOfPng(png);
  const count = width * height;
  const each = values.length / count; // grey, grey with alpha, RGB, RGB with alpha
  const channels = each < 3 ? 1 : 3;
  const pixels = new Uint8Array(count * channels);
  for (let at = 0; at < count; at++) {
    const alpha = each === channels ? 255 : (values[at * each + channels] as number);
    for (let channel = 0; channel < channels; channel++) {
      const value = values[at * each + channel] as number;
      pixels[at * channels + channel] = Math.round(255 + ((value - 255) * alpha) / 255);
    }
  }
  return { width, height, channels, pixels };
}

/**
 * The chunks of a PNG that tell its pixels. Others may hold compressed data of any size, and so may pixels: but no encoder
 * makes them larger than they are as they lie.
 */
function knownChunks(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const known = ['IHDR', 'PLTE', 'IDAT', 'IEND', ...(bytes[colourAt] === ofPalette ? ['tRNS'] : [])];
  const kept = new Uint8Array(bytes.length);
  kept.set(bytes.subarray(0, 8));
  let [end, compressed, largest] = [8, 0, 0];
  for (let at = 8, name = ''; name !== 'IEND'; ) {
    if (at + 12 > bytes.length) throw new Error('it ends early');
    const next = at + 12 + view.getUint32(at);
    name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (next > bytes.length || (at === 8) !== (name === 'IHDR')) throw new Error('it ends early, or is damaged');
    if (name === 'IHDR') {
      const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      expectPixels(width, height);
      largest = 2 ** 12 + 1.01 * height * (8 * width + 8); // at most four channels of 16 bits, and what tells a row's filter
    }
    if (name === 'IDAT') compressed += next - at;
    if (compressed > largest) throw new Error('its pixels take more room than they have values');
    if (known.includes(name)) {
      kept.set(bytes.subarray(at, next), end);
      end += next - at;
    }
    at = next;
  }
  return kept.subarray(0, end);
}

function expectPixels(width: number, height: number): void {
  if (width > 0 && height > 0 && width * height <= mostPixels) return;
  throw new Error(`it has ${width}×${height} pixels, where from 1 to ${mostPixels} are read`);
}

/** The values of a PNG without a palette, from 0 to 255. */
function valuesOfPng({ data, depth, width, height }: DecodedPng): Uint8Array {
  if (depth === 8) return data as Uint8Array;
  if (depth === 16) return Uint8Array.from(data, (value) => value >> 8);
  const [largest, row] = [2 ** depth - 1, Math.ceil((width * depth) / 8)]; // grey of 1, 2 or 4 bits, in rows of whole bytes
  return Uint8Array.from({ length: width * height }, (_, at) => {
    const bit = (at % width) * depth;
    const byte = data[Math.floor(at / width) * row + Math.floor(bit / 8)] as number;
    return (((byte >> (8 - depth - (bit % 8))) & largest) * 255) / largest;
  });
}

function decodeJpeg(bytes: Uint8Array): Image {
  const limits = { maxResolutionInMP: mostPixels / 1e6, maxMemoryUsageInMB: 1024 };
  const { width, height, data } = decodeJpegFile(bytes, {
    ...{ useTArray: true, formatAsRGBA: false, tolerantDecoding: false },
    ...limits,
  });
  if (!isGreyJpeg(bytes)) return { width, height, channels: 3, pixels: data };
  return { width, height, channels: 1, pixels: Uint8Array.from({ length: width * height }, (_, at) => data[3 * at]!) };
}

/** Whether the frame of a JPEG has one component. */
function isGreyJpeg(bytes: Uint8Array): boolean {
  for (let at = 2; at + 9 < bytes.length; ) {
    const marker = bytes[at + 1] as number;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[at + 9] === 1;
    at += 2 + (bytes[at + 2] as number) * 256 + (bytes[at + 3] as number);
  }
  return false;
}

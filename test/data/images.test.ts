/** Images from bytes: PNG, JPEG and IDX, whole, damaged and hostile. */
import { deflateSync, gzipSync } from 'node:zlib';
import { encode as encodeJpeg } from 'jpeg-js';
import { describe, expect, it } from 'vitest';
import { PerformerError } from '../../src/base/index.js';
import { decodeIdx, decodeImage, encodePng, type Image, idxImages, imageSet, sheetOf } from '../../src/data/index.js';
import { chunk, greyJpeg, halves, idxOf, pngOf } from '../support/image-files.js';

const pixelsOf = (bytes: Uint8Array) => {
  const { height, width, channels, pixels } = decodeImage(bytes);
  return { size: [height, width, channels], pixels: Array.from(pixels) };
};

describe('a PNG', () => {
  it.each<1 | 3>([1, 3])('that was written of %i channels is read as it was', (channels) => {
    const image: Image = {
      ...{ height: 3, width: 5, channels },
      pixels: Uint8Array.from({ length: 15 * channels }, (_, at) => (at * 37) % 256),
    };
    expect(decodeImage(encodePng(image))).toEqual(image);
  });

  it('has its upper eight bits of sixteen, and fewer bits over the whole range', () => {
    const sixteen = pngOf({ width: 2, height: 1, depth: 16, colour: 0, rows: [[0x12, 0xff, 0xfe, 0x01]] });
    expect(pixelsOf(sixteen)).toEqual({ size: [1, 2, 1], pixels: [0x12, 0xfe] });
    const two = pngOf({
      width: 5,
      height: 2,
      depth: 2,
      colour: 0,
      rows: [
        [0b00011011, 0b11000000],
        [0xff, 0xff],
      ],
    });
    expect(pixelsOf(two).pixels).toEqual([0, 85, 170, 255, 255, 255, 255, 255, 255, 255]);
  });

  it('stands before white where it is transparent, and is RGB where it has a palette', () => {
    const grey = pngOf({ width: 3, height: 1, depth: 8, colour: 4, rows: [[100, 255, 100, 0, 0, 51]] });
    expect(pixelsOf(grey)).toEqual({ size: [1, 3, 1], pixels: [100, 255, 204] });
    const colours = pngOf({ width: 2, height: 1, depth: 8, colour: 6, rows: [[1, 2, 3, 255, 9, 9, 9, 0]] });
    expect(pixelsOf(colours)).toEqual({ size: [1, 2, 3], pixels: [1, 2, 3, 255, 255, 255] });
    const before = [chunk('PLTE', [10, 20, 30, 40, 50, 60]), chunk('tRNS', [0])];
    const palette = pngOf({ width: 3, height: 1, depth: 1, colour: 3, rows: [[0b10100000]], before });
    expect(pixelsOf(palette)).toEqual({ size: [1, 3, 3], pixels: [40, 50, 60, 255, 255, 255, 40, 50, 60] });
    const suggested = pngOf({
      width: 1,
      height: 1,
      depth: 8,
      colour: 2,
      rows: [[7, 8, 9]],
      before: before.slice(0, 1),
    });
    expect(pixelsOf(suggested).pixels).toEqual([7, 8, 9]);
  });

  it('may have chunks that tell nothing of its pixels, which are not unpacked', () => {
    const bomb = Buffer.concat([Buffer.from('icc\0\0'), deflateSync(Buffer.alloc(2 ** 20))]);
    const image = pngOf({ width: 1, height: 1, depth: 8, colour: 0, rows: [[5]], before: [chunk('iCCP', bomb)] });
    expect(pixelsOf(image).pixels).toEqual([5]);
    const wrong = [chunk('iCCP', [1, 2, 3]), chunk('pHYs', [1])];
    expect(pixelsOf(pngOf({ width: 1, height: 1, depth: 8, colour: 0, rows: [[5]], before: wrong })).pixels).toEqual([
      5,
    ]);
  });

  it.each<[string, Uint8Array, RegExp]>([
    [
      'more pixels than are read',
      pngOf({ width: 2 ** 16, height: 2 ** 16, depth: 8, colour: 0, rows: [[0]] }),
      /65536×65536 pixels/,
    ],
    ['none', pngOf({ width: 0, height: 4, depth: 8, colour: 0, rows: [[0]] }), /0×4 pixels/],
    [
      'compressed pixels that are larger than they may be',
      pngOf({ width: 1, height: 1, depth: 8, colour: 0, rows: [], pixels: Buffer.alloc(10_000) }),
      /more room/,
    ],
    ['fewer rows than it says', pngOf({ width: 1, height: 3, depth: 8, colour: 0, rows: [[1], [2]] }), /not/],
    [
      'few bits and interlacing',
      pngOf({ width: 2, height: 1, depth: 1, colour: 0, interlace: 1, rows: [[0], [0]] }),
      /interlaced/,
    ],
    ['another beginning', Buffer.from('GIF89a'), /a PNG or JPEG file, got another/],
    ['nothing in it', Buffer.alloc(0), /a PNG or JPEG file, got another/],
  ])('is refused with %s', (_, bytes, message) => {
    expect(() => decodeImage(bytes, 'a.png')).toThrow(message);
    expect(() => decodeImage(bytes, 'a.png')).toThrow(/^a\.png: expected/);
  });
});

it('a JPEG is grey or RGB, as its file says', () => {
  const grey = decodeImage(greyJpeg);
  expect([grey.height, grey.width, grey.channels]).toEqual([8, 8, 1]);
  grey.pixels.forEach((value, at) => {
    expect(Math.abs(value - 16 * (Math.floor(at / 8) + (at % 8)) - 8)).toBeLessThan(3);
  });
  const data = Uint8Array.from({ length: 16 * 16 * 4 }, (_, at) => [200, 100, 50, 255][at % 4]!);
  const colours = decodeImage(encodeJpeg({ width: 16, height: 16, data }, 95).data);
  expect([colours.height, colours.width, colours.channels]).toEqual([16, 16, 3]);
  for (const [channel, value] of [200, 100, 50].entries()) {
    expect(Math.abs(colours.pixels[channel]! - value)).toBeLessThan(5);
  }
});

it.each([
  ['PNG', encodePng(halves(1)[0]!.image)],
  ['JPEG', new Uint8Array(greyJpeg)],
])('a %s that was cut, or of which a byte was changed, is an image or one clear error', (_, bytes) => {
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decodeImage(bytes.subarray(0, length), 'cut'), `${length}`).toThrow(/^cut: expected/);
  }
  for (let at = 0; at < bytes.length; at++) {
    const changed = Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 0x41 : byte));
    try {
      const { height, width, channels, pixels } = decodeImage(changed, 'changed');
      expect(pixels.length).toBe(height * width * channels);
    } catch (cause) {
      expect(cause).toBeInstanceOf(PerformerError);
      expect(cause).toMatchObject({ code: 'DATA', message: expect.stringMatching(/^changed: expected/) });
    }
  }
});

describe('an IDX file', () => {
  const images = idxOf(
    [2, 2, 3],
    Array.from({ length: 12 }, (_, at) => at),
  );

  it('has images of bytes, plain or in gzip', async () => {
    for (const bytes of [images, gzipSync(images)]) {
      const found = idxImages(await decodeIdx(bytes));
      expect(found.map(({ height, width, channels }) => [height, width, channels])).toEqual([
        [2, 3, 1],
        [2, 3, 1],
      ]);
      expect(found.map(({ pixels }) => Array.from(pixels))).toEqual([
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9, 10, 11],
      ]);
    }
    const colours = idxImages(await decodeIdx(idxOf([1, 1, 2, 3], [1, 2, 3, 4, 5, 6])));
    expect(colours[0]).toMatchObject({ height: 1, width: 2, channels: 3 });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['is cut', images.subarray(0, 20), /expected 28 bytes at least, got 20/],
    ['is cut in its header', images.subarray(0, 9), /bytes at least, got 9/],
    ['is cut in gzip', gzipSync(images).subarray(0, 30), /whole gzip file/],
    ['goes on after its values', Buffer.concat([images, Buffer.of(1)]), /28 bytes, as its header says, got more/],
    ['unpacks to more than its header says', gzipSync(Buffer.concat([images, Buffer.alloc(2 ** 20)])), /got more/],
    ['says that it is huge', idxOf([2 ** 31, 2 ** 31, 28], []), /values, got 2147483648×2147483648×28/],
    ['says that it is empty', idxOf([0, 28, 28], []), /values, got 0×28×28/],
    ['has numbers of four bytes', Buffer.from([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), /IDX file of bytes/],
    ['is of other bytes', Buffer.from('hello, world'), /IDX file of bytes/],
  ])('is refused where it %s', async (_, bytes, message) => {
    await expect(decodeIdx(bytes, 'a-ubyte')).rejects.toThrow(message);
    await expect(decodeIdx(bytes, 'a-ubyte')).rejects.toThrow(/^a-ubyte: expected/);
  });

  it('has no images where its axes are those of labels, or of other channels', async () => {
    const labels = await decodeIdx(idxOf([3], [1, 2, 3]));
    expect(() => idxImages(labels, 'l')).toThrow('l: expected images as [count, height, width]');
    const other = await decodeIdx(idxOf([1, 1, 1, 2], [1, 2]));
    expect(() => idxImages(other)).toThrow('got [1, 1, 1, 2]');
  });
});

describe('a set of images', () => {
  const [first, second] = halves(2) as [ReturnType<typeof halves>[0], ReturnType<typeof halves>[0]];

  it('has the values of each as its text, and its class', async () => {
    const { size, texts } = imageSet([first, second]);
    expect(size).toEqual({ height: 4, width: 4, channels: 1 });
    expect(texts.targets).toEqual(['left', 'right']);
    expect(await texts.read(1)).toEqual({ bytes: second.image.pixels, target: 'right' });
  });

  it('is refused where one has another size, or too few values, or no class', () => {
    const wide: Image = { height: 2, width: 8, channels: 1, pixels: first.image.pixels };
    expect(() => imageSet([first, { image: wide, label: 'x' }])).toThrow(
      'image 1: expected an image of 4×4 grey, got one of 2×8 grey',
    );
    const short = { ...first.image, pixels: new Uint8Array(3) };
    expect(() => imageSet([{ image: short }])).toThrow('expected 16 values of an image of 4×4 grey, got 3');
    expect(() => imageSet([first, { image: second.image }])).toThrow(
      'image 1: expected a class, as the first image has',
    );
    expect(() => imageSet([])).toThrow('expected images, got none');
  });
});

it('a sheet has images side by side, with white between', () => {
  const [a, b, c] = halves(3, 2).map(({ image }) => image) as [Image, Image, Image];
  const sheet = sheetOf([a, b, c]);
  expect([sheet.height, sheet.width]).toEqual([6, 6]);
  const at = (row: number, column: number) => sheet.pixels[row * 6 + column];
  expect([at(0, 0), at(1, 1), at(0, 2), at(0, 4), at(5, 1), at(5, 5)]).toEqual([
    a.pixels[0],
    a.pixels[3],
    255,
    b.pixels[0],
    c.pixels[3],
    255,
  ]);
  expect(sheetOf([a])).toEqual(a);
});

/** Images on disk: IDX files with their labels, folders of classes, and what is wrong with them. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import { encodePng } from '../../src/data/index.js';
import { imagesOf, readImages } from '../../src/data/node.js';
import { greyJpeg, halves, idxOf } from '../support/image-files.js';

const folder = await mkdtemp(join(tmpdir(), 'performer-images-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(name: string, content: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}

const [left, right] = halves(2, 8).map(({ image }) => image);
const images = await fileOf('images-idx3-ubyte.gz', gzipSync(idxOf([2, 8, 8], [...left!.pixels, ...right!.pixels])));
const labels = await fileOf('labels-idx1-ubyte', idxOf([2], [7, 3]));

it('an IDX file of images has the labels of the file behind it, and is told by its numbers', async () => {
  const { size, texts } = await readImages([images, labels]);
  expect(size).toEqual({ height: 8, width: 8, channels: 1 });
  expect(texts.targets).toEqual(['7', '3']);
  expect((await texts.read(1)).bytes).toEqual(right!.pixels);
  const placed = [];
  for await (const { image: _, ...place } of imagesOf([images])) placed.push(place);
  expect(placed).toEqual([
    { file: images, number: 1 },
    { file: images, number: 2 },
  ]);
});

it('a folder has a folder for each class, with PNG and JPEG files at any depth', async () => {
  await fileOf('classes/ramp/a.jpg', greyJpeg);
  await fileOf('classes/half/deep/b.png', encodePng(left!));
  await fileOf('classes/half/a.png', encodePng(right!));
  await fileOf('classes/half/.hidden', Buffer.from('no image'));
  await fileOf('classes/README', Buffer.from('no image'));
  const { texts } = await readImages([join(folder, 'classes')]);
  expect(texts.targets).toEqual(['half', 'half', 'ramp']);
  expect((await texts.read(0)).bytes).toEqual(right!.pixels);
  const single = await readImages([join(folder, 'classes', 'half', 'a.png')]);
  expect(single.texts.targets).toEqual(['']);
});

it('each error names the file', async () => {
  const damaged = await fileOf('bad/x/a.png', encodePng(left!).subarray(0, 60));
  await expect(readImages([join(folder, 'bad')])).rejects.toThrow(`read ${damaged}: expected a whole PNG or JPEG file`);
  const text = await fileOf('text/x/a.txt', Buffer.from('hello'));
  await expect(readImages([join(folder, 'text')])).rejects.toThrow(`read ${text}: expected a PNG or JPEG file`);
  await fileOf('sizes/x/a.png', encodePng(left!));
  const small = await fileOf('sizes/x/b.png', encodePng(halves(1, 4)[0]!.image));
  await expect(readImages([join(folder, 'sizes')])).rejects.toThrow(
    `${small}: expected an image of 8×8 grey, got one of 4×4 grey`,
  );
  await expect(readImages([images, labels], { height: 4, width: 4, channels: 1 })).rejects.toThrow(
    `${images}, image 1: expected an image of 4×4 grey, got one of 8×8 grey`,
  );
  const three = await fileOf('three-idx1-ubyte', idxOf([3], [1, 2, 3]));
  await expect(readImages([images, three])).rejects.toThrow(`read ${three}: expected 2 labels, got 3 labels`);
  await expect(readImages([labels])).rejects.toThrow(`read ${labels}: expected the file of its images before it`);
  await expect(readImages([images, images, labels])).rejects.toThrow(
    'expected no class, as the first image has, got one',
  );
  await expect(readImages([join(folder, 'nowhere')])).rejects.toThrow('expected a file, got none there');
  await mkdir(join(folder, 'empty'));
  await expect(readImages([join(folder, 'empty')])).rejects.toThrow('got an empty folder');
});

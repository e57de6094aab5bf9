/** `performer train`, `evaluate`, `predict`, `embed` and `generate` on images. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { decodeImage, encodePng } from '../../src/data/index.js';
import { halves, idxOf } from '../support/image-files.js';
import { performer, temporaryFolder } from './support.js';

const given = halves(24, 8);
const small = [
  ...['--dim', '16', '--depth', '1', '--heads', '2', '--head-dim', '8', '--feature-count', '8'],
  ...['--batch', '4', '--steps', '6', '--held-out', '0.25', '--threads', '1'],
];

/** A folder with a folder for each class. */
async function classFolder(folder: string): Promise<string> {
  const root = join(folder, 'images');
  for (const [index, { image, label }] of given.entries()) {
    await mkdir(join(root, label), { recursive: true });
    await writeFile(join(root, label, `${index}.png`), encodePng(image));
  }
  return root;
}

async function idxFiles(folder: string): Promise<readonly [images: string, labels: string]> {
  const [images, labels] = [join(folder, 'images-ubyte.gz'), join(folder, 'labels-ubyte')];
  await writeFile(
    images,
    gzipSync(
      idxOf(
        [24, 8, 8],
        given.flatMap(({ image }) => Array.from(image.pixels)),
      ),
    ),
  );
  await writeFile(
    labels,
    idxOf(
      [24],
      given.map(({ label }) => (label === 'left' ? 4 : 7)),
    ),
  );
  return [images, labels];
}

async function stepsOf(out: string): Promise<number[]> {
  const lines = (await readFile(join(out, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line)).flatMap(({ kind, loss }) => (kind === 'step' ? [loss] : []));
}

describe('image classification', () => {
  test('learns from a folder of classes, goes on as if unbroken, is evaluated, predicts and embeds', async () => {
    const folder = await temporaryFolder();
    const images = await classFolder(folder);
    const words = ['train', images, '--task', 'image-classification', '--patch', '2', '--pooling', 'class-token'];
    const out = join(folder, 'run');
    const ran = await performer([...words, '--out', out, ...small, '--class-weights', 'balanced']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('18 images to train on, 6 held out');
    expect(ran.out).toContain(`performer predict ${out} images/*.png`);
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(config).toMatchObject({
      image: { height: 8, width: 8, channels: 1 },
      positions: { kind: 'axial', maxLength: 20, columns: 4 },
      targets: { names: ['left', 'right'], weights: [1, 1] },
    });
    const cut = join(folder, 'cut');
    await performer([...words, '--out', cut, ...small, '--class-weights', 'balanced'], { stopAt: /step 3/ });
    expect((await performer(['train', '--out', cut, '--resume'])).code).toBe(0);
    expect(await stepsOf(cut)).toEqual(await stepsOf(out));

    const evaluated = await performer(['evaluate', out, images, '--json']);
    expect(evaluated).toMatchObject({ code: 0, err: '' });
    const { images: count, measures, confusion } = JSON.parse(evaluated.out);
    expect([count, confusion.names]).toEqual([24, ['left', 'right']]);
    expect(measures.accuracy).toBeCloseTo((confusion.counts[0][0] + confusion.counts[1][1]) / 24, 6);
    expect((await performer(['evaluate', out, images])).out).toContain('images of each class');

    const one = join(images, 'left', '0.png');
    const predicted = await performer(['predict', out, one, join(images, 'right')]);
    expect(predicted).toMatchObject({ code: 0, err: '' });
    const [header, first, ...others] = predicted.out.trimEnd().split('\n') as [string, string, ...string[]];
    expect(header).toBe('file,image,class,left,right');
    expect(first).toMatch(new RegExp(`^${one},,(left|right),0\\.\\d+,0\\.\\d+$`));
    expect(others.length).toBe(12);
    const embedded = await performer(['embed', out, one, '--format', 'jsonl', '--normalize']);
    const { file, embedding } = JSON.parse(embedded.out);
    expect([file, embedding.length]).toEqual([one, 16]);
  });

  test('learns from IDX files, and tells the number of an image in them', async () => {
    const folder = await temporaryFolder();
    const [images, labels] = await idxFiles(folder);
    const out = join(folder, 'run');
    const ran = await performer(['train', images, labels, '--task', 'image-classification', '--out', out, ...small]);
    expect(ran).toMatchObject({ code: 0, err: '' });
    const predicted = await performer(['predict', out, images, '--format', 'jsonl']);
    const lines = predicted.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ image }) => image)).toEqual(given.map((_, index) => index + 1));
    expect(Object.keys(lines[0].probabilities)).toEqual(['4', '7']);
    // Other images than those that the run began with are told.
    await writeFile(labels, idxOf([24], Array(24).fill(4)));
    const resumed = await performer(['train', '--out', out, '--resume', '--steps', '8']);
    expect(resumed.code).toBe(1);
    expect(resumed.err).toContain('with which the run began');
  });

  test('refuses what does not fit, before anything is written', async () => {
    const folder = await temporaryFolder();
    const images = await classFolder(folder);
    const [idx] = await idxFiles(folder);
    const train = (...words: string[]) => performer(['train', ...words, '--out', join(folder, 'none'), ...small]);
    const classify = ['--task', 'image-classification'];
    for (const [words, code, message] of [
      [[images, ...classify, '--patch', '3'], 2, "--patch: expected a divisor of the images' 8×8 pixels, got 3"],
      [[images, ...classify, '--window', '9'], 2, '--window: images are read whole'],
      [[images, ...classify, '--pooling', 'first'], 2, '--pooling'],
      [[images, ...classify, '--text', 'body'], 2, '--text: image-classification does not have it'],
      [[images, ...classify, '--carry-state'], 2, '--carry-state: expected a model that continues texts'],
      [
        [images, ...classify, '--positions', 'learned', '--max-length', '5'],
        2,
        '--max-length: expected 4, which follows',
      ],
      [
        [images, '--task', 'image-modelling', '--pooling', 'class-token'],
        2,
        '--pooling: a pixel-model does not have it',
      ],
      [[images, '--task', 'image-modelling', '--class-weights', 'equal'], 2, '--class-weights: image-modelling does'],
      [[images, '--patch', '2'], 2, '--patch: a causal-language-model does not have it'],
      [[idx, ...classify], 1, 'two classes at least, got 1'],
    ] as const) {
      const ran = await train(...words);
      expect(ran, words.join(' ')).toMatchObject({ code });
      expect(ran.err).toContain(message);
    }
    const broken = join(images, 'left', '0.png');
    await writeFile(broken, encodePng(given[0]!.image).subarray(0, 50));
    expect((await train(images, ...classify)).err).toContain(`read ${broken}: expected a whole PNG or JPEG file`);
    await expect(readFile(join(folder, 'none', 'run.json'))).rejects.toThrow('ENOENT');
  });
});

describe('image modelling', () => {
  test('learns, is told in bits of a pixel, paints, and completes an image', async () => {
    const folder = await temporaryFolder();
    const [images] = await idxFiles(folder);
    const out = join(folder, 'run');
    const ran = await performer(['train', images, '--task', 'image-modelling', '--out', out, ...small]);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toMatch(/held out: loss [\d.]+, bitsPerDimension [\d.]+, bitsPerPixel [\d.]+/);
    expect(ran.out).toContain(`performer generate ${out} --out images.png`);
    const evaluated = JSON.parse((await performer(['evaluate', out, images, '--json'])).out);
    expect(evaluated.measures.bitsPerPixel).toBeCloseTo(evaluated.measures.loss / Math.LN2, 6);

    const png = join(folder, 'painted.png');
    const painted = await performer(['generate', out, '--out', png, '--count', '3', '--seed', '1']);
    expect(painted).toMatchObject({ code: 0, out: '' });
    expect(painted.err).toContain(`seed 1: ${png}`);
    const sheet = await readFile(png);
    expect(decodeImage(sheet)).toMatchObject({ height: 18, width: 18, channels: 1 });
    await performer(['generate', out, '--out', png, '--count', '3', '--seed', '1']);
    expect((await readFile(png)).equals(sheet)).toBe(true);

    const half = join(folder, 'half.png');
    await writeFile(half, encodePng(given[0]!.image));
    const embedded = await performer(['embed', out, half]);
    expect(embedded.out.split('\n')[1]!.split(',').length).toBe(2 + 16);
    expect((await performer(['embed', out, half, '--window', '5'])).err).toContain('--window: images do not have it');
    expect((await performer(['predict', out, half])).err).toContain('expected a classifier, got a pixel-model');
    expect((await performer(['evaluate', out, images, '--window', '5'])).err).toContain(
      '--window: images are read whole',
    );
    const completed = await performer(['generate', out, '--out', png, '--complete', half, '--kept-rows', '5']);
    expect(completed).toMatchObject({ code: 0 });
    const { pixels } = decodeImage(await readFile(png));
    expect(pixels.subarray(0, 40)).toEqual(given[0]!.image.pixels.subarray(0, 40));
    expect(pixels.subarray(40)).not.toEqual(given[0]!.image.pixels.subarray(40));

    const generate = (...words: string[]) => performer(['generate', out, ...words]);
    for (const [words, code, message] of [
      [[], 2, 'expected --out with a PNG file'],
      [['--out', png, '--prompt', 'a'], 2, '--prompt: a pixel-model does not have it'],
      [['--out', png, '--kept-rows', '2'], 2, '--kept-rows: expected --complete'],
      [['--out', png, '--complete', half, '--kept-rows', '8'], 2, 'fewer than the 8 rows'],
      [['--out', png, '--complete', images], 2, `expected a file of one image, got 24 in ${images}`],
      [['--out', join(folder, 'no', 'a.png')], 1, '--out: expected the folder'],
    ] as const) {
      const refused = await generate(...words);
      expect(refused, words.join(' ')).toMatchObject({ code });
      expect(refused.err).toContain(message);
    }
    const other = join(folder, 'other.png');
    await writeFile(other, encodePng(halves(1, 4)[0]!.image));
    expect((await generate('--out', png, '--complete', other)).err).toContain(
      `${other}: expected an image of 8×8 grey, got one of 4×4 grey`,
    );
  });
});

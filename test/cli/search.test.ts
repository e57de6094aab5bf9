/** `performer embed --index` and `performer search`: from files to the texts that are nearest to a query. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { drawBuffers, initialize, Random } from '../../src/base/index.js';
import { modelConfig, modelOf } from '../../src/models/index.js';
import { writeModel } from '../../src/models/node.js';
import { tinyModel } from '../support/tiny.js';
import { performer, temporaryFolder } from './support.js';

let folder: string;
const at = (name: string) => join(folder, name);

async function modelFolder(name: string, seed: number, options: object = {}): Promise<string> {
  const config = modelConfig({ ...tinyModel, model: 'encoder', ...options });
  const model = modelOf(config);
  await mkdir(at(name));
  const params: object = initialize(model.params, Random.fromSeed(seed));
  await writeModel(at(name), config, { params, buffers: drawBuffers(model.buffers, Random.fromSeed(2)) });
  return at(name);
}

const whale = 'the white whale';
const ship = 'a ship at sea, 1851';
const long = Array.from({ length: 60 }, (_, line) => `line ${line}: ${'abcdefghij'[line % 10]!.repeat(6)}`).join('\n');

let model: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  model = await modelFolder('model', 1);
  await writeFile(at('whale.txt'), whale);
  await writeFile(at('records.jsonl'), `{"text":"${ship}"}\n\n{"text":"before him"}\n`);
  await writeFile(at('long.md'), long);
});

const embedded = (...words: string[]) =>
  performer(['embed', model, at('whale.txt'), at('records.jsonl'), '--index', at('index'), ...words]);

describe('search', () => {
  test('tells the nearest text first, with its place, its beginning and its cosine', async () => {
    expect(await embedded()).toMatchObject({ code: 0, out: `3 rows are in ${at('index')}.\n` });
    const { code, out } = await performer(['search', model, at('index'), ship]);
    expect(code).toBe(0);
    expect(out.split('\n').slice(0, 2)).toEqual([`1.000   ${at('records.jsonl')}:1`, `        ${ship}`]);
    expect(out.trimEnd().split('\n')).toHaveLength(6);
  });

  test('tells the same as JSON, at most --top-k, of each line of standard input', async () => {
    await embedded();
    const words = ['search', model, at('index'), '--json', '--top-k', '1'];
    const { out } = await performer(words, { stdin: `${whale}\r\n\nbefore him`, isPiped: true });
    const told = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(told).toEqual([
      { query: whale, hits: [{ score: expect.closeTo(1, 5), file: at('whale.txt'), text: whale }] },
      {
        query: 'before him',
        hits: [{ score: expect.closeTo(1, 5), file: at('records.jsonl'), line: 3, text: 'before him' }],
      },
    ]);
    const { out: inWords } = await performer(['search', model, at('index')], { stdin: `${whale}\n`, isPiped: true });
    expect(inWords).toMatch(`> ${whale}\n1.000   ${at('whale.txt')}\n`);
  });

  test('finds the place in a long text, with the line at which its chunk begins', async () => {
    const chunked = [
      '--chunk-tokens',
      '64',
      '--chunk-overlap',
      '0',
      '--pooling',
      'last',
      '--normalize',
      '--dimensions',
      '10',
    ];
    expect(await performer(['embed', model, at('long.md'), '--index', at('index'), ...chunked])).toMatchObject({
      code: 0,
    });
    const texts = (await readFile(at('index/texts.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(texts.length).toBeGreaterThan(10);
    const { start, end, text, line } = texts[7];
    expect(long.slice(start, end)).toBe(text);
    expect(long.split('\n')[line - 1]).toContain(text.split('\n')[0]);
    const { out } = await performer(['search', model, at('index'), text, '--top-k', '1', '--json']);
    expect(JSON.parse(out).hits).toEqual([
      { score: expect.closeTo(1, 5), file: at('long.md'), line, start, end, text },
    ]);
    expect(JSON.parse(await readFile(at('index/index.json'), 'utf8'))).toMatchObject({
      vectors: { pooling: 'last', normalize: true, dimensions: 10 },
      chunks: { tokens: 64, overlap: 0 },
      count: texts.length,
    });
  });

  test('reads all of a text that is longer than the model reads', async () => {
    const short = await modelFolder('short', 1, { positions: { kind: 'learned', maxLength: 48 } });
    expect(await performer(['embed', short, at('long.md'), '--index', at('index')])).toMatchObject({
      code: 0,
      err: '',
    });
    const texts = (await readFile(at('index/texts.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(texts[0].start).toBe(0);
    expect(texts.at(-1).end).toBe(long.length);
    const told = await performer(['embed', short, at('long.md'), '--chunk-tokens', '49']);
    expect(told).toMatchObject({
      code: 2,
      err: expect.stringContaining('at most 48, where the model cuts texts, got 49'),
    });
  });

  test('tells that an index is missing, of another model, or broken, and how it was called wrongly', async () => {
    await embedded();
    const search = (...words: string[]) => performer(['search', ...words]);
    expect(await search(model, at('none'), 'a')).toMatchObject({
      code: 1,
      err: expect.stringContaining('none: expected a folder with an index of texts'),
    });
    const other = await modelFolder('other', 3);
    expect(await search(other, at('index'), 'a')).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /index: expected the model that made its vectors, with weights and options of the fingerprint \w{16}, got/,
      ),
    });
    expect(await search(model, at('index'))).toMatchObject({
      code: 2,
      err: expect.stringContaining('expected a query'),
    });
    expect(await search(model, at('index'), ' ')).toMatchObject({ code: 2 });
    expect(await search(model, at('index'), 'a', '--top-k', '1000000')).toMatchObject({ code: 2 });
    const stdin = Buffer.from([0x61, 0x0a, 0xff, 0xfe, 0x0a]);
    expect(await performer(['search', model, at('index'), '--json'], { stdin, isPiped: true })).toMatchObject({
      code: 1,
      err: expect.stringContaining('-, line 2: expected text in utf-8'),
    });
  });
});

describe('embed --index', () => {
  test('leaves out texts without a letter, and says so; where there are no others it fails and leaves nothing', async () => {
    await writeFile(at('empty.txt'), '\n');
    const told = await performer(['embed', model, at('empty.txt'), at('whale.txt'), '--index', at('index')]);
    expect(told).toMatchObject({ code: 0, err: `${at('empty.txt')}: there is no text, so it is left out.\n` });
    const none = await performer(['embed', model, at('empty.txt'), '--index', at('none')]);
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining('expected texts to search in, got none') });
    expect((await readdir(folder)).filter((name) => name.includes('none'))).toEqual([]);
  });

  test('refuses files that are no text, and places that are taken', async () => {
    await writeFile(at('image.bin'), Buffer.from([0x89, 0x50, 0x4e, 0x47]));
    const told = await performer(['embed', model, at('image.bin'), '--index', at('index')]);
    expect(told).toMatchObject({
      code: 1,
      err: expect.stringContaining(`read ${at('image.bin')}: expected text in utf-8`),
    });
    await embedded();
    expect(await embedded()).toMatchObject({
      code: 2,
      err: expect.stringContaining('expected a folder that does not exist'),
    });
    const both = await performer(['embed', model, at('whale.txt'), '--index', at('b'), '--out', at('c.csv')]);
    expect(both).toMatchObject({ code: 2, err: expect.stringContaining('without --out and --format') });
    const alone = await performer(['embed', model, at('whale.txt'), '--chunk-overlap', '3']);
    expect(alone).toMatchObject({ code: 2, err: expect.stringContaining('--chunk-tokens beside it') });
  });
});

/** Indexes on disk: what was written is found again, and what is damaged or of another model is refused. */
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { leavesOf, Random } from '../../src/base/index.js';
import { modelConfig, modelOf } from '../../src/models/index.js';
import { loadModel, writeModel } from '../../src/models/node.js';
import { expectSameModel, type IndexAbout, indexAbout, nearest } from '../../src/search/index.js';
import { openTextIndex, type TextVector, writeTextIndex } from '../../src/search/node.js';
import { mutationsOf } from '../interop/mutations.js';

const dimensions = 6;
const about: Omit<IndexAbout, 'count'> = {
  ...{ kind: 'text-index', version: 1 },
  model: { family: 'encoder', tokenizer: 'bytes', fingerprint: 'ab'.repeat(8) },
  vectors: { pooling: 'mean', normalize: true, dimensions },
};
const random = Random.fromSeed(5);
const texts: TextVector[] = Array.from({ length: 20 }, (_, row) => ({
  file: `docs/${row}.md`,
  ...(row % 2 === 0 ? {} : { line: row, start: 3, end: 9 }),
  text: `text ${row}: "Ahab",\n\u2028 🐋`,
  vector: Float32Array.from(random.split(row).normals(dimensions)),
}));

async function* pools(all: readonly TextVector[], size = 7) {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-index-'));
  path = join(folder, 'texts.index');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const query = Float32Array.from(random.split('query').normals(dimensions));

async function hitsOf(place: string) {
  const index = await openTextIndex(place);
  try {
    return await index.search(query, { count: 4 });
  } finally {
    await index.close();
  }
}

const expectedHits = nearest(
  query,
  texts.map(({ vector }) => vector),
  { count: 4 },
).map(({ index, score }) => {
  const { vector, ...text } = texts[index]!;
  return { score, ...text };
});

test('a search finds the texts of the nearest vectors, with their places', async () => {
  expect(await writeTextIndex(path, about, pools(texts))).toBe(20);
  expect(await hitsOf(path)).toEqual(expectedHits);
  const index = await openTextIndex(path);
  expect(index.about).toEqual({ ...about, count: 20 });
  expect(await index.search(query, { count: 1000 })).toHaveLength(20);
  await expect(index.search(query.subarray(1))).rejects.toThrow('expected a vector of 6 numbers, got 5');
  await index.close();
});

test('an index is written whole or not at all, and over nothing', async () => {
  const failing = async function* () {
    yield texts.slice(0, 3);
    throw new Error('killed');
  };
  await expect(writeTextIndex(path, about, failing())).rejects.toThrow('got killed');
  const broken = { ...texts[1]!, vector: Float32Array.of(0, 0, 0, Number.NaN, 0, 0) };
  await expect(writeTextIndex(path, about, pools([texts[0]!, broken]))).rejects.toMatchObject({
    code: 'NUMERIC',
    message: 'docs/1.md:1: expected a finite vector, got another.',
  });
  await expect(writeTextIndex(path, about, pools([]))).rejects.toThrow('expected texts to search in, got none');
  expect(await readdir(folder)).toEqual([]);
  await writeTextIndex(path, about, pools(texts));
  await expect(writeTextIndex(path, about, pools(texts))).rejects.toMatchObject({ code: 'USAGE' });
  expect(await hitsOf(path)).toEqual(expectedHits);
});

describe('is refused', () => {
  beforeEach(() => writeTextIndex(path, about, pools(texts)));

  const refused = (place = path) => expect(openTextIndex(place)).rejects;

  test('where there is none', async () => {
    await refused(join(folder, 'none')).toThrow(
      'expected a folder with an index of texts, got one without index.json, or none',
    );
    await refused(folder).toThrow('got one without index.json');
  });

  test('a file that was cut, each with its name', async () => {
    const cut = async (name: string) => {
      const place = join(folder, `cut-${name}`);
      await cp(path, place, { recursive: true });
      await truncate(join(place, name), (await readFile(join(place, name))).length - 5);
      return place;
    };
    await refused(await cut('vectors.npy')).toThrow(
      /vectors\.npy: expected 608 bytes for 20 rows of 6 numbers, got 603/,
    );
    await refused(await cut('texts.jsonl')).toThrow(/texts\.jsonl: expected 20 lines, got more or fewer/);
    await refused(await cut('index.json')).toThrow(/index\.json: expected JSON/);
    await writeFile(join(path, 'texts.jsonl'), '');
    await refused().toThrow(/texts\.jsonl: expected 20 lines/);
    await rm(join(path, 'vectors.npy'));
    await refused().toThrow(/vectors\.npy: expected a file, got none there/);
  });

  test('a file of another index of the same size, and vectors of another width', async () => {
    const other = join(folder, 'other');
    await writeTextIndex(other, about, pools(texts.toReversed()));
    await cp(join(other, 'vectors.npy'), join(path, 'vectors.npy'));
    await refused().toThrow(/vectors\.npy: expected a file with the SHA-256/);
    const wider = join(folder, 'wider');
    const own = texts.map((text) => ({ ...text, vector: new Float32Array(7) }));
    await writeTextIndex(wider, { ...about, vectors: { ...about.vectors, dimensions: 7 } }, pools(own));
    await cp(join(wider, 'vectors.npy'), join(path, 'vectors.npy'));
    await refused().toThrow('expected 20 rows of 6 numbers, got 20 of 7');
  });

  test('a row of NaN that was put into an index whose seal was taken off', async () => {
    const { sha256, ...content } = JSON.parse(await readFile(join(path, 'index.json'), 'utf8'));
    await writeFile(join(path, 'index.json'), JSON.stringify(content));
    expect(await hitsOf(path)).toEqual(expectedHits);
    const bytes = await readFile(join(path, 'vectors.npy'));
    bytes.writeFloatLE(Number.NaN, 128 + 4 * dimensions * 3);
    await writeFile(join(path, 'vectors.npy'), bytes);
    await expect(hitsOf(path)).rejects.toThrow('expected finite numbers in vector 3, got others');
  });

  test('or read as it was: each of 600 indexes with a damaged file', async () => {
    for (const name of ['vectors.npy', 'texts.jsonl', 'index.json']) {
      const bytes = await readFile(join(path, name));
      for (const damaged of mutationsOf(bytes, 200, 4)) {
        await writeFile(join(path, name), damaged);
        const hits = await hitsOf(path).catch((cause: { code?: string }) => {
          if (cause.code === 'CHECKPOINT' || cause.code === 'DATA') return undefined;
          throw cause;
        });
        if (hits !== undefined) expect(hits).toEqual(expectedHits);
      }
      await writeFile(join(path, name), bytes);
    }
  });
});

test('what differs between the model of an index and another is named', () => {
  const own: IndexAbout = { ...about, count: 1 };
  const other = (model: Partial<IndexAbout['model']>) => ({ ...about, model: { ...about.model, ...model } });
  expect(() => expectSameModel('a', own, about)).not.toThrow();
  expect(() => expectSameModel('a', own, other({ family: 'classifier' }))).toThrow(
    'a: expected the model that made its vectors, with the family encoder, got one with classifier.',
  );
  expect(() => expectSameModel('a', own, other({ tokenizer: 'words' }))).toThrow(
    'with the tokenizer bytes, got one with words',
  );
  expect(() => expectSameModel('a', own, other({ fingerprint: 'cd'.repeat(8) }))).toThrow(
    `with weights and options of the fingerprint ${'ab'.repeat(8)}, got one with ${'cd'.repeat(8)}`,
  );
});

test('a model is known by its weights and options, however its folder keeps it', async () => {
  const golden = await loadModel(fileURLToPath(new URL('../golden/pretrained/minilm', import.meta.url)));
  const manner = { pooling: 'mean', normalize: true, dimensions: 32 } as const;
  const { model, ...weights } = golden;
  await writeModel(folder, model.config, weights);
  const own = { ...indexAbout(golden, manner), count: 1 };
  const imported = await loadModel(folder);
  expect(() => expectSameModel('a', own, indexAbout(imported, manner))).not.toThrow();
  const [, leaf] = leavesOf(imported.params)[0] as [string, { data: Float32Array }];
  leaf.data[3]! += 1e-6;
  expect(() => expectSameModel('a', own, indexAbout(imported, manner))).toThrow('weights and options');
  const wider = modelOf(modelConfig({ ...model.config, norm: { kind: 'layer', placement: 'post', epsilon: 1e-3 } }));
  expect(() => expectSameModel('a', own, indexAbout({ ...golden, model: wider }, manner))).toThrow(
    'weights and options',
  );
});

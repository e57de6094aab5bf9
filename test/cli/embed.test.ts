/** `performer embed` and `performer predict`: a row for each text of files, in their order. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { drawBuffers, initialize, Random } from '../../src/base/index.js';
import { openNpy } from '../../src/interop/node-npy.js';
import { embed, modelConfig, modelOf, predict } from '../../src/models/index.js';
import { loadModel, writeModel } from '../../src/models/node.js';
import { engine, tinyModel } from '../support/tiny.js';
import { performer, temporaryFolder } from './support.js';

let folder: string;

async function modelFolder(name: string, options: object): Promise<string> {
  const config = modelConfig({ ...tinyModel, ...options });
  const model = modelOf(config);
  const place = join(folder, name);
  await mkdir(place);
  const params: object = initialize(model.params, Random.fromSeed(1));
  await writeModel(place, config, { params, buffers: drawBuffers(model.buffers, Random.fromSeed(2)) });
  return place;
}

beforeEach(async () => {
  folder = await temporaryFolder();
  await writeFile(join(folder, 'a.csv'), 'id,text\n1,the whale\n2,"a,\nb"\n');
  await writeFile(join(folder, 'b.jsonl'), '{"body":"swam"}\n\n{"body":"before"}\n');
  await writeFile(join(folder, 'c.txt'), 'the whole file');
});

const rowsOf = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(','));

describe('predict', () => {
  test('writes the class and the probability of each, with the file and the line of each text', async () => {
    const model = await modelFolder('classes', {
      model: 'classifier',
      targets: { kind: 'classes', names: ['ham', 'spam'] },
    });
    const { code, out, err } = await performer(['predict', model, join(folder, 'a.csv'), join(folder, 'c.txt')]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const [header, ...rows] = rowsOf(out);
    expect(header).toEqual(['file', 'line', 'class', 'ham', 'spam']);
    const told = await predict(engine, await loadModel(model), ['the whale', 'a,\nb', 'the whole file']);
    expect(rows.map(([file, line]) => [file, line])).toEqual([
      [join(folder, 'a.csv'), '2'],
      [join(folder, 'a.csv'), '4'],
      [join(folder, 'c.txt'), ''],
    ]);
    for (const [at, [, , name, ham, spam]] of rows.entries()) {
      expect(Number(ham)).toBeCloseTo(told[at]![0]!, 5);
      expect(name).toBe(Number(ham) >= Number(spam) ? 'ham' : 'spam');
    }
  });

  test('writes values as JSON lines into a file, and says so', async () => {
    const model = await modelFolder('values', { model: 'classifier', targets: { kind: 'values', names: ['height'] } });
    const path = join(folder, 'told.jsonl');
    const words = ['predict', model, join(folder, 'b.jsonl'), '--text', 'body', '--format', 'jsonl', '--out', path];
    expect(await performer(words)).toMatchObject({ code: 0, out: `2 rows are in ${path}.\n` });
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    const [first, second] = lines.map((line) => JSON.parse(line));
    expect(first).toEqual({ file: join(folder, 'b.jsonl'), line: 1, values: { height: expect.any(Number) } });
    expect(second.line).toBe(3);
  });

  test('tells the class of each line of standard input', async () => {
    const targets = { kind: 'classes', names: ['ham', 'spam'] };
    const model = await modelFolder('classes', { model: 'classifier', targets });
    const { code, out } = await performer(['predict', model, '-'], { stdin: 'the whale\nswam\n' });
    expect(code).toBe(0);
    const [, ...rows] = rowsOf(out);
    const told = await predict(engine, await loadModel(model), ['the whale', 'swam']);
    expect(rows.map(([file, line]) => [file, line])).toEqual([
      ['-', '1'],
      ['-', '2'],
    ]);
    expect(rows.map((row) => Number(row[3]))).toEqual(told.map(([ham]) => expect.closeTo(ham!, 5)));
  });

  test('fails for a model of another family, and for a column that is not there', async () => {
    const model = await modelFolder('language', {});
    const ran = await performer(['predict', model, join(folder, 'c.txt')]);
    expect(ran).toMatchObject({ code: 1, out: '' });
    expect(ran.err).toContain('predict: expected a classifier, got a causal-language-model.');
    const embedded = await performer(['embed', model, join(folder, 'a.csv'), '--text', 'body']);
    expect(embedded).toMatchObject({ code: 1 });
    expect(embedded.err).toContain(`${join(folder, 'a.csv')}, line 1: expected a column body`);
  });
});

describe('embed', () => {
  test('writes the vector of each text', async () => {
    const model = await modelFolder('encoder', { model: 'encoder' });
    const words = ['embed', model, join(folder, 'a.csv'), '--pooling', 'last', '--normalize', '--batch', '1'];
    const { code, out } = await performer(words);
    expect(code).toBe(0);
    const [header, ...rows] = rowsOf(out);
    expect(header).toEqual(['file', 'line', ...Array.from({ length: 16 }, (_, index) => String(index + 1))]);
    const options = { pooling: 'last', normalize: true } as const;
    const [whale] = await embed(engine, await loadModel(model), ['the whale'], options);
    rows[0]!.slice(2).forEach((value, at) => expect(Number(value)).toBeCloseTo(whale![at]!, 5));
    expect(rows.length).toBe(2);
  });

  test('writes a matrix for NumPy where the file ends so, and refuses standard output for it', async () => {
    const model = await modelFolder('encoder', { model: 'encoder' });
    const path = join(folder, 'vectors.npy');
    const told = await performer(['embed', model, join(folder, 'a.csv'), join(folder, 'c.txt'), '--out', path]);
    expect(told).toMatchObject({ code: 0, out: `3 rows are in ${path}.\n` });
    const file = await openNpy(path);
    const vectors = await embed(engine, await loadModel(model), ['the whale', 'a,\nb', 'the whole file']);
    const rows = await file.read(0, file.rows);
    await file.close();
    expect(rows).toHaveLength(3 * 16);
    vectors.flatMap((vector) => [...vector]).forEach((value, at) => expect(rows[at]).toBeCloseTo(value, 5));
    const refused = await performer(['embed', model, join(folder, 'c.txt'), '--format', 'npy']);
    expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('expected a file as --out') });
  });

  test('keeps the first components of each vector, which then has the length 1 again', async () => {
    const model = await modelFolder('encoder', { model: 'encoder' });
    const words = ['embed', model, join(folder, 'c.txt'), '--format', 'jsonl', '--normalize', '--dimensions'];
    const [whole] = await embed(engine, await loadModel(model), ['the whole file']);
    const { out } = await performer([...words, '4']);
    const first = [...whole!.slice(0, 4)];
    const { embedding } = JSON.parse(out);
    expect(embedding).toEqual(first.map((value) => expect.closeTo(value / Math.hypot(...first), 5)));
    const refused = await performer([...words, '17']);
    expect(refused).toMatchObject({
      code: 1,
      err: expect.stringContaining('expected dimensions from 1 to 16, got 17'),
    });
  });

  test('reads a text from each line of standard input, or from JSON lines whose key is named', async () => {
    const model = await modelFolder('encoder', { model: 'encoder' });
    const words = ['embed', model, '-', join(folder, 'c.txt'), '--format', 'jsonl'];
    const lines = await performer(words, { stdin: 'the whale\r\n\nswam' });
    const objects = await performer([...words, '--text', 'quote'], {
      stdin: '{"quote":"the whale"}\n\n{"quote":"swam"}\n',
    });
    expect(lines.code).toBe(0);
    expect(objects.out).toBe(lines.out);
    const rows = lines.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows.map(({ file, line }) => [file, line])).toEqual([
      ['-', 1],
      ['-', 3],
      [join(folder, 'c.txt'), undefined],
    ]);
    const [whale, swam] = await embed(engine, await loadModel(model), ['the whale', 'swam']);
    expect(rows[0].embedding).toEqual([...whale!].map((value) => expect.closeTo(value, 5)));
    expect(rows[1].embedding).toEqual([...swam!].map((value) => expect.closeTo(value, 5)));
    const other = await performer([...words, '--text', 'quote'], { stdin: '{"quote":"a"}\n{"quote":7}\n' });
    expect(other).toMatchObject({
      code: 1,
      err: expect.stringContaining('-, line 2: expected a text as quote, got 7'),
    });
  });

  test('has a row for each chunk where texts are cut, with its place', async () => {
    const model = await modelFolder('encoder', { model: 'encoder' });
    await writeFile(join(folder, 'd.txt'), 'one two\nthree four');
    const words = ['embed', model, join(folder, 'd.txt'), '--chunk-tokens', '8', '--chunk-overlap', '0'];
    const [header, ...rows] = rowsOf((await performer(words)).out);
    expect(header!.slice(0, 5)).toEqual(['file', 'line', 'start', 'end', '1']);
    expect(rows.map((row) => row.slice(1, 4))).toEqual([
      ['1', '0', '7'],
      ['2', '8', '13'],
      ['2', '14', '18'],
    ]);
    const [two] = await embed(engine, await loadModel(model), ['three']);
    expect(rows[1]!.slice(4).map(Number)).toEqual([...two!].map((value) => expect.closeTo(value, 5)));
  });

  test('gives rows in the order of the texts, although batches are of texts of one length', async () => {
    const model = await modelFolder('encoder', { model: 'encoder' });
    const texts = Array.from({ length: 40 }, (_, at) => `${at}${'x'.repeat((at * 7) % 23)}`);
    const stdin = texts.join('\n');
    const { out } = await performer(['embed', model, '-', '--format', 'jsonl', '--batch', '2'], { stdin });
    const rows = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).embedding);
    const alone = await embed(engine, await loadModel(model), texts, { batch: 1 });
    expect(rows).toEqual(alone.map((vector) => [...vector].map((value) => expect.closeTo(value, 4))));
  });
});

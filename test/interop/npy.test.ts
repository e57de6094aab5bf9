/** Matrices as NumPy's files: what NumPy wrote is read, what is written is what NumPy writes, and damage is refused. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PerformerError } from '../../src/base/index.js';
import { openNpy, writeNpy } from '../../src/interop/node-npy.js';
import { npyHeader, npyLayout, npyStart } from '../../src/interop/npy.js';
import { mutationsOf } from './mutations.js';

/** `numpy.save` of NumPy 2.4.6: [[1, 2, 3], [-4, 0.5, 1e-3]] in float32. */
const golden = Buffer.from(
  'k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAgICAg' +
    'ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAIA/AAAAQAAAQEAAAIDAAAAAP28S' +
    'gzo=',
  'base64',
);
const rows = [Float32Array.of(1, 2, 3), Float32Array.of(-4, 0.5, 1e-3)];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-npy-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function* oneByOne(vectors: readonly Float32Array[]) {
  for (const vector of vectors) yield [vector];
}

test('rows that come one by one are written as NumPy writes the whole matrix, byte for byte', async () => {
  const path = join(folder, 'a.npy');
  expect(await writeNpy(path, 3, oneByOne(rows))).toBe(2);
  expect(await readFile(path)).toEqual(golden);
  expect(await readdir(folder)).toEqual(['a.npy']);
});

test('a file is read row by row, and one without rows is one', async () => {
  const path = join(folder, 'a.npy');
  await writeFile(path, golden);
  const file = await openNpy(path);
  expect(file).toMatchObject({ rows: 2, columns: 3, start: npyStart });
  expect(await file.read(1, 1)).toEqual(rows[1]);
  await file.close();
  await writeNpy(path, 3, oneByOne([]));
  const empty = await openNpy(path);
  expect(empty.rows).toBe(0);
  await empty.close();
});

test('what fails on the way leaves the file that was there, and no draft', async () => {
  const path = join(folder, 'a.npy');
  await writeFile(path, golden);
  const failing = async function* () {
    yield rows;
    throw new PerformerError('DATA', 'the third text: expected it, got none.');
  };
  await expect(writeNpy(path, 3, failing())).rejects.toThrow('the third text');
  expect(await readFile(path)).toEqual(golden);
  expect(await readdir(folder)).toEqual(['a.npy']);
});

describe('is refused', () => {
  const header = (dict: string) => {
    const bytes = npyHeader(2, 3);
    bytes.set(new TextEncoder().encode(`${dict.padEnd(npyStart - 11)}\n`), 10);
    return bytes;
  };
  const other = (dict: string) => () => npyLayout('a.npy', header(dict), golden.length);

  test('a file of another kind', () => {
    expect(() => npyLayout('a.npy', new TextEncoder().encode('file,line\n'), 10)).toThrow(
      'a.npy: expected an .npy file of format 1.0, got another file.',
    );
    expect(() => npyLayout('a.npy', new Uint8Array(0), 0)).toThrow('got another file');
  });

  test.each([
    ['float64', "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }"],
    ['columns one after another', "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }"],
    ['one axis', "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }"],
    ['code in the place of sizes', "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 10**9), }"],
  ])('a matrix of %s', (_, dict) => {
    expect(other(dict)).toThrow(/expected a matrix of float32 \(<f4\), row after row, got \{'descr'/);
  });

  test('a file that was cut, and one that goes on', () => {
    expect(() => npyLayout('a.npy', golden, golden.length - 1)).toThrow(
      'a.npy: expected 152 bytes for 2 rows of 3 numbers, got 151.',
    );
    expect(() => npyLayout('a.npy', golden, golden.length + 4)).toThrow('got 156');
  });

  test('or read as the same sizes: each of 12,000 damaged files', () => {
    for (const bytes of mutationsOf(golden, 12_000, 1)) {
      try {
        const { rows: count, columns, start } = npyLayout('a.npy', bytes, bytes.length);
        expect(start + 4 * count * columns).toBe(bytes.length);
      } catch (cause) {
        if ((cause as { code?: unknown }).code !== 'DATA') throw cause;
      }
    }
  });
});

/** GGUF files: the values of all kinds of blocks are those of gguf-py (test/golden/README.md), and damage is refused. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ggufBlocks } from '../../src/interop/gguf-blocks.js';
import { ggufValues, parseGgufHeader } from '../../src/interop/index.js';
import { ggufFile } from '../support/gguf-file.js';
import { mutationsOf, readOrRefuse } from './mutations.js';

type Golden = Readonly<Record<string, { readonly type: number; readonly bytes: string; readonly values: string }>>;
const golden = JSON.parse(readFileSync(new URL('../golden/gguf-blocks.json', import.meta.url), 'utf8')) as Golden;
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));

test.each(Object.entries(golden))('blocks of %s have the values of gguf-py', (name, { type, bytes, values }) => {
  const block = ggufBlocks.get(type)!;
  expect(block.name).toBe(name);
  expect(ggufValues(block, bytesOf(bytes))).toEqual(new Float32Array(bytesOf(values).buffer));
});

test('plain numbers of 16, 32 and 64 bits are read as they are', () => {
  const values = (type: number, bytes: Uint8Array) => Array.from(ggufValues(ggufBlocks.get(type)!, bytes));
  expect(values(0, new Uint8Array(Float32Array.of(1.5, -2).buffer))).toEqual([1.5, -2]);
  expect(values(1, new Uint8Array(Uint16Array.of(0x3c00, 0xc100).buffer))).toEqual([1, -2.5]);
  expect(values(28, new Uint8Array(Float64Array.of(0.25).buffer))).toEqual([0.25]);
  expect(values(30, new Uint8Array(Uint16Array.of(0x3f80, 0xc000).buffer))).toEqual([1, -2]);
});

const metadata = { 'general.architecture': 'llama', 'llama.block_count': 2, tokens: ['a', 'b'], scores: [0.5, 1] };
const tensors = [
  { name: 'w', shape: [2, 32], type: 8, bytes: new Uint8Array(68) },
  { name: 'b', shape: [3], bytes: new Uint8Array(12) },
];
const whole = ggufFile(metadata, tensors);

test('a header tells the metadata, and where each tensor lies', () => {
  const { metadata: found, entries } = parseGgufHeader('x.gguf', whole, whole.length);
  expect(Object.fromEntries(found)).toEqual(metadata);
  const [w, b] = entries;
  expect(w).toMatchObject({ name: 'w', shape: [2, 32], byteLength: 68, start: whole.length - 96 - 32 });
  expect(b).toMatchObject({ name: 'b', shape: [3], byteLength: 12, start: whole.length - 32 });
});

describe('refused is', () => {
  const changed = (at: number, bytes: readonly number[]) => {
    const copy = whole.slice();
    copy.set(bytes, at);
    return copy;
  };
  test.each<[string, Uint8Array, RegExp]>([
    ['a file of another kind', new TextEncoder().encode('version https://git-lfs'), /begins with GGUF, got "vers"/],
    ['an empty file', new Uint8Array(), /expected 4 more bytes of a header at 0, got 0/],
    ['version 1', changed(4, [1]), /expected version 2 or 3, got 1/],
    [
      'a count of tensors beyond all',
      changed(8, [255, 255, 255, 255, 255, 255, 255, 255]),
      /tensors of at most 100000/,
    ],
    ['a count of entries beyond the file', changed(16, [255, 255, 255]), /a number of entries of at most/],
    ['a file that was cut', whole.subarray(0, whole.length - 40), /expected a file of at least \d+ bytes, as b says/],
    ['a header that was cut', whole.subarray(0, 100), /more bytes of a header/],
    ['a name twice', ggufFile({}, [tensors[1]!, tensors[1]!]), /tensors with names of their own, got a name twice/],
    [
      'a type that is not known',
      ggufFile({}, [{ ...tensors[1]!, type: 9 }]),
      /b to be of the type 0 \(F32\), .*, got 9/,
    ],
    ['a row that is no whole blocks', ggufFile({}, [{ ...tensors[0]!, shape: [4, 17] }]), /rows of w in blocks of 32/],
    ['a size beyond all', ggufFile({}, [{ ...tensors[1]!, shape: [2 ** 40, 2 ** 40] }]), /rows of b in blocks of 1/],
    ['five dimensions', ggufFile({}, [{ ...tensors[1]!, shape: [1, 1, 1, 1, 3] }]), /1 to 4 dimensions of b, got 5/],
    ['an alignment of nothing', ggufFile({ 'general.alignment': 0 }), /general.alignment from 1 to 1,048,576, got 0/],
  ])('%s', (_, bytes, message) => {
    expect(() => parseGgufHeader('x.gguf', bytes, bytes.length)).toThrow(message);
  });
});

test('of ten thousand damaged files each is refused, or has its tensors within the file', () => {
  let refused = 0;
  for (const bytes of mutationsOf(whole, 10_000, 4)) {
    const read = readOrRefuse(() => parseGgufHeader('x.gguf', bytes, bytes.length));
    if (read === undefined) refused++;
    for (const { start, byteLength } of read?.entries ?? [])
      expect(start + byteLength).toBeLessThanOrEqual(bytes.length);
  }
  expect(refused).toBeGreaterThan(2000);
});

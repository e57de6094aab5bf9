import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, hostTensor, int32 } from '../../src/base/index.js';
import { checkDigest, digestOf, expectFinite, seal, tensorsDigest, unseal } from '../../src/interop/index.js';
import { readSafetensors, writeSafetensors } from '../../src/interop/node.js';

const tensors = new Map<string, AnyHostTensor>([
  ['weight', float32([2, 2], [1, 2, 3, 4])],
  ['bias', float32([2], [5, 6])],
  ['count', int32([], [7])],
]);
const reread = (value: unknown) => JSON.parse(JSON.stringify(value));

describe('a digest', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'performer-digest-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('is the SHA-256 of the bytes, in whatever pieces they come', () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index);
    const expected = createHash('sha256').update(bytes).digest('hex');
    expect(digestOf([bytes])).toBe(expected);
    expect(digestOf([bytes.subarray(0, 1), bytes.subarray(1, 1), bytes.subarray(1)])).toBe(expected);
  });

  test('of a file in Node is the same while it is written, while it is read, and by sha256sum', async () => {
    const path = join(folder, 'model.safetensors');
    const written = await writeSafetensors(path, tensors, { format: 'pt' });
    expect(written).toBe(digestOf([await readFile(path)]));
    expect((await readSafetensors(path)).digest).toBe(written);
  });

  test('of tensors is one for any order of names, and another for swapped, reshaped or changed ones', () => {
    const digest = tensorsDigest(tensors, { a: '1', b: '2' });
    expect(tensorsDigest(new Map([...tensors].reverse()), { b: '2', a: '1' })).toBe(digest);
    const changes: [string, AnyHostTensor][] = [
      ['weight', float32([2, 2], [1, 2, 4, 3])],
      ['weight', float32([4], [1, 2, 3, 4])],
      ['bias', float32([2], [5, -6])],
      ['count', hostTensor('uint32', [], Uint32Array.of(7))],
    ];
    for (const change of changes)
      expect(tensorsDigest(new Map([...tensors, change]), { a: '1', b: '2' })).not.toBe(digest);
    expect(tensorsDigest(tensors, { a: '1', b: '3' })).not.toBe(digest);
  });
});

describe('a sealed object', () => {
  const content = { dim: 4, rate: 1e-7, names: ['ä', '\n'], nested: { none: null, gone: undefined } };
  const files = { 'model.safetensors': digestOf([]) };
  const sealed = seal(content, files);

  test('gives back its content and the digests of its files after its way through a file', () => {
    expect(unseal('config.json', reread(sealed))).toEqual({ content: reread(content), digests: files });
  });

  test.each<[string, unknown]>([
    ['a changed value', { ...sealed, dim: 5 }],
    ['a missing key', { ...sealed, rate: undefined }],
    ['a further key', { ...sealed, more: 1 }],
    [
      'the digest of another file',
      { ...sealed, sha256: { ...sealed.sha256, 'model.safetensors': digestOf([new Uint8Array(1)]) } },
    ],
    ['no digest of its own', { ...sealed, sha256: files }],
    ['digests that are none', { ...sealed, sha256: { content: 'x' } }],
    ['no object of digests', { ...sealed, sha256: null }],
  ])('with %s is refused', (_, changed) => {
    expect(() => unseal('config.json', reread(changed))).toThrow(/^config\.json: expected .* remove the key "sha256"/);
  });

  test('is taken as it is where it was never sealed', () => {
    for (const value of [content, [], null, 1, 'text']) {
      expect(unseal('x', value)).toEqual({ content: value, digests: undefined });
    }
  });

  test('tells a file of another save by its path, and notes where nothing was kept', () => {
    const path = 'runs/model.safetensors';
    const digest = files['model.safetensors'];
    expect(checkDigest(path, files, 'model.safetensors', digest)).toBeUndefined();
    expect(checkDigest(path, undefined, 'model.safetensors', digest)).toContain(`${path}: nothing tells`);
    expect(() => checkDigest(path, files, 'model.safetensors', '00')).toThrow(
      `${path}: expected a file with the SHA-256`,
    );
    expect(() => checkDigest(path, {}, 'model.safetensors', digest)).toThrow('expected that its digest was kept');
  });
});

test('weights that are not finite are refused by name', () => {
  expect(() => expectFinite('model.safetensors', tensors)).not.toThrow();
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    expect(() => expectFinite('model.safetensors', new Map([['w', float32([3], [1, bad, 2])]]))).toThrow(
      'model.safetensors: expected finite numbers in "w", got others.',
    );
  }
});

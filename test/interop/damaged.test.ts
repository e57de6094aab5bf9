import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AnyHostTensor, float32, hostTensor, int32 } from '../../src/base/index.js';
import { decodeSafetensors, encodeSafetensors, seal, tensorsDigest, unseal } from '../../src/interop/index.js';
import { readJson } from '../../src/interop/node.js';
import { fileOf, joinChunks } from './file-bytes.js';
import { mutationsOf, readOrRefuse } from './mutations.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-damaged-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const tensors = new Map<string, AnyHostTensor>([
  ['blocks.0.query.weight', float32([3, 2], [1, -2, 3, -4, 5, -6])],
  ['blocks.0.key.weight', float32([3, 2], [6, 5, 4, 3, 2, 1])],
  ['flags', hostTensor('bool', [3], Uint8Array.of(1, 0, 1))],
  ['count', int32([], [7])],
]);

test('of four thousand damaged safetensors files each is refused or has another digest, unless it says the same', () => {
  const metadata = { format: 'pt', producer: 'tests' };
  const whole = joinChunks(encodeSafetensors(tensors, metadata));
  const digest = tensorsDigest(tensors, metadata);
  let refused = 0;
  for (const bytes of mutationsOf(whole, 4000, 1)) {
    const read = readOrRefuse(() => decodeSafetensors('read x', bytes));
    if (read === undefined) refused++;
    else if (readOrRefuse(() => tensorsDigest(read.tensors, read.metadata)) === digest) {
      expect(read.metadata).toEqual(metadata);
      expect(new Map([...read.tensors].sort())).toEqual(new Map([...tensors].sort()));
    }
  }
  expect(refused).toBeGreaterThan(2000);
});

test('of a thousand damaged files of sealed JSON none is taken for what it was, unless it says the same', async () => {
  const content = { dim: 64, gamma: 0.125, positions: 'rotary', nested: { list: [1, 2, 3] } };
  const sealed = seal(content, { 'model.safetensors': '0'.repeat(64) });
  const whole = new TextEncoder().encode(JSON.stringify(sealed, undefined, 2));
  const path = join(folder, 'config.json');
  let accepted = 0;
  for (const bytes of mutationsOf(whole, 1000, 2)) {
    await writeFile(path, bytes);
    const value = await readJson(path).catch((cause) => readOrRefuse((): unknown => raise(cause)));
    const read = readOrRefuse(() => unseal(path, value));
    if (read?.digests === undefined) {
      expect(read?.content).not.toEqual(content); // a damaged key is one that no schema knows
    } else {
      accepted++;
      expect(read).toEqual({ content, digests: { 'model.safetensors': '0'.repeat(64) } });
    }
  }
  expect(accepted).toBeLessThan(300); // damage to the spaces between
});

function raise(cause: unknown): never {
  throw cause;
}

test.each<[string, string, string]>([
  ['of brackets', '['.repeat(2 ** 23), 'expected a header nested 3 deep, got one of 8388608.'],
  [
    'of brackets in a tensor',
    `{"w":{"shape":${'['.repeat(2 ** 23)}`,
    'expected a header nested 3 deep, got one of 8388610.',
  ],
  [
    'of more tensors than any model has',
    `{${Array.from({ length: 150_000 }, (_, index) => `"${index}":{}`).join(',')}}`,
    'expected at most 100000 tensors, got 149999.',
  ],
  [
    'of a name that a terminal would obey',
    '{"\\u001b[2J\\u009b2J\\u202e":1}',
    'expected "\\u001b[2J\\u009b2J\\u202e" to be an object',
  ],
  ['of a name without end', `{"${'a'.repeat(2 ** 20)}":1}`, `expected "${'a'.repeat(60)}…" to be an object, got 1.`],
])('a header %s is refused before it is parsed, or in few words', (_, header, message) => {
  expect(() => decodeSafetensors('read x', fileOf(header))).toThrow(message);
});

test('more than sixteen megabytes of header are neither read nor written', () => {
  const bytes = new Uint8Array(2 ** 24 + 100);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(2 ** 24 + 1), true);
  expect(() => decodeSafetensors('read x', bytes)).toThrow(
    'expected a header of at most 16777216 bytes, got one of 16777217.',
  );
  const many = new Map(Array.from({ length: 100_001 }, (_, index) => [`t${index}`, int32([0], [])] as const));
  expect(() => encodeSafetensors(many)).toThrow('expected at most 100000 tensors, got 100001.');
});

test.skipIf(process.platform === 'win32')(
  'JSON that is a device, too large or nested too deep is refused',
  async () => {
    const path = join(folder, 'config.json');
    const refused = (at: string) => readJson(at).catch((error) => error.message);
    expect(await refused('/dev/zero')).toContain('got a device or pipe');
    await writeFile(path, new Uint8Array(2 ** 24 + 1));
    expect(await refused(path)).toBe(
      `read ${path}: expected at most 16777216 bytes of JSON, got 16777217. Check the path.`,
    );
    for (const brackets of ['['.repeat(2 ** 23), '['.repeat(65) + ']'.repeat(65)]) {
      await writeFile(path, brackets);
      expect(await refused(path)).toContain('expected JSON, got other text');
    }
    await writeFile(path, '['.repeat(64) + ']'.repeat(64));
    expect(await refused(path)).toHaveLength(1);
  },
);

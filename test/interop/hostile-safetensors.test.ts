import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, int32 } from '../../src/base/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { fileOf, joinChunks } from './file-bytes.js';

describe('a hostile safetensors file', () => {
  const entry = (change: object) => ({ w: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...change } });
  const ranges = (...offsets: [number, number][]) =>
    Object.fromEntries(
      offsets.map(([begin, end], index) => [
        `t${index}`,
        { dtype: 'BOOL', shape: [end - begin], data_offsets: [begin, end] },
      ]),
    );
  const withLength = (length: bigint) => {
    const bytes = new Uint8Array(64);
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    return bytes;
  };

  test.each<[string, Uint8Array, string]>([
    ['is empty', new Uint8Array(0), 'expected at least 8 bytes, got 0.'],
    ['ends in its length', new Uint8Array(7), 'expected at least 8 bytes, got 7.'],
    ['has no header', new Uint8Array(8), 'expected a header in JSON, got "".'],
    [
      'is a pointer to another',
      new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 548105171\n'),
      'expected tensors, got a pointer of Git LFS to them.',
    ],
    ['has a header longer than itself', withLength(57n), 'expected a header of at most 56 bytes, got one of 57.'],
    ['has a header of 2^64-1 bytes', withLength(2n ** 64n - 1n), 'got one of 18446744073709551615.'],
    ['is not UTF-8', fileOf('{"\ud800"}').map((byte) => (byte === 0xef ? 0xff : byte)), 'expected a header in UTF-8'],
    ['is not JSON', fileOf('{"w":\n}'), 'expected a header in JSON, got "{\\"w\\":\\n}".'],
    ['has a byte order mark', fileOf('\ufeff{}'), 'expected a header in JSON'],
    ['is a list', fileOf([]), 'expected a header that is an object, got a list of 0.'],
    ['is null', fileOf('null'), 'expected a header that is an object, got null.'],
    ['has a tensor that is no object', fileOf({ w: 1 }), 'expected "w" to be an object, got 1.'],
    [
      'has no dtype',
      fileOf({ w: {} }),
      '"w" to have a dtype of F64, I64, F32, I32, U32, F16, BF16, BOOL, U8, got undefined.',
    ],
    ['has an unknown dtype', fileOf(entry({ dtype: 'F8' }), 8), 'got "F8".'],
    ['has a dtype of every object', fileOf(entry({ dtype: 'toString' }), 8), 'got "toString".'],
    ['has no shape', fileOf(entry({ shape: 2 }), 8), 'expected "w" to have a shape, got 2.'],
    ['has half a dimension', fileOf(entry({ shape: [0.5] }), 8), '"w" to have a shape of whole numbers, got 0.5.'],
    ['has a negative dimension', fileOf(entry({ shape: [-2, -1] }), 8), 'got -2.'],
    ['has a dimension as text', fileOf(entry({ shape: ['2'] }), 8), 'got "2".'],
    ['has a dimension beyond 2^53', fileOf(entry({ shape: [2 ** 53] }), 8), 'got 9007199254740992.'],
    ['has a shape whose product overflows', fileOf(entry({ shape: [2 ** 30, 2 ** 30] }), 8), 'got a larger product.'],
    ['has no offsets', fileOf(entry({ data_offsets: [0] }), 8), 'two offsets that are whole numbers, got a list of 1.'],
    ['has a negative offset', fileOf(entry({ data_offsets: [-8, 0] }), 8), 'two offsets that are whole numbers'],
    ['has half an offset', fileOf(entry({ data_offsets: [0.5, 8.5] }), 8), 'two offsets that are whole numbers'],
    [
      'begins after it ends',
      fileOf(entry({ data_offsets: [8, 0] }), 8),
      'to begin before it ends, got offsets 8 and 0.',
    ],
    ['has another size', fileOf(entry({ data_offsets: [0, 4] }), 8), '"w" to have 8 bytes for its shape, got 4.'],
    ['ends beyond the file', fileOf(entry({}), 7), 'expected a file of 70 bytes by its header, got one of 69.'],
    [
      'goes on after its last tensor',
      fileOf(entry({}), 9),
      'expected a file of 70 bytes by its header, got one of 71.',
    ],
    ['has bytes and no tensor', fileOf({}, 1), 'expected a file of 10 bytes by its header, got one of 11.'],
    ['has a gap', fileOf(ranges([0, 2], [3, 5]), 5), 'got a gap: it begins at'],
    ['has an overlap', fileOf(ranges([0, 3], [2, 5]), 5), 'got an overlap: it begins at'],
    ['has two tensors in one place', fileOf(ranges([0, 5], [0, 5]), 5), 'got an overlap: it begins at'],
    [
      'has metadata that is a list',
      fileOf({ __metadata__: [] }),
      'expected __metadata__ to be an object, got a list of 0.',
    ],
    ['has metadata that is no text', fileOf({ __metadata__: { a: 1 } }), '__metadata__ "a" to be a string, got 1.'],
    ['reaches for a prototype', fileOf('{"__proto__":{"dtype":"F32"}}'), 'names of parameters, got "__proto__".'],
    ['hides it in a path', fileOf({ 'a.__proto__.b': {} }), 'got "a.__proto__.b".'],
    ['hides it in metadata', fileOf('{"__metadata__":{"__proto__":"x"}}'), 'names of metadata, got "__proto__".'],
    [
      'has a name twice',
      fileOf(
        '{"w":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]},"\\u0077":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}}',
        1,
      ),
      'expected distinct names, got a name twice.',
    ],
    [
      'nests without end',
      fileOf(`{"w":{"shape":${'['.repeat(1e5)}${']'.repeat(1e5)},"dtype":"F32"}}`),
      'expected a header nested 3 deep, got one of 100002.',
    ],
  ])('that %s is refused in one clear line', (_, bytes, message) => {
    const read = () => decodeSafetensors('read x', bytes);
    expect(read).toThrow(message);
    expect(read).toThrow(
      expect.objectContaining({
        name: 'PerformerError',
        code: 'CHECKPOINT',
        message: expect.stringMatching(/^read x: [^\n]+$/),
      }),
    );
  });

  test('may have tensors without elements anywhere', () => {
    const none = { dtype: 'F32', shape: [0, 7], data_offsets: [5, 5] };
    expect(decodeSafetensors('test', fileOf({ ...ranges([0, 5]), none }, 5)).tensors.get('none')).toEqual(
      float32([0, 7], []),
    );
  });

  /** Reads, and lets pass only the one kind of error. */
  function survives(bytes: Uint8Array): void {
    try {
      decodeSafetensors('test', bytes);
    } catch (error) {
      expect(error).toMatchObject({ name: 'PerformerError', code: 'CHECKPOINT' });
    }
  }

  test('of random bytes crashes with nothing but a PerformerError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives), { numRuns: 500 });
  });

  test('of a random header crashes with nothing but a PerformerError', () => {
    const number = fc.oneof(fc.integer({ min: -1, max: 9 }), fc.double(), fc.constant(2 ** 53));
    const field = fc.oneof(fc.jsonValue(), fc.array(number, { maxLength: 3 }));
    const tensor = fc.record(
      { dtype: fc.oneof(fc.constantFrom('F32', 'BOOL', 'F16'), fc.jsonValue()), shape: field, data_offsets: field },
      { requiredKeys: [] },
    );
    const name = fc.oneof(fc.constantFrom('__metadata__', '__proto__', 'a'), fc.string());
    const header = fc.oneof(fc.jsonValue(), fc.dictionary(name, fc.oneof(tensor, fc.jsonValue())));
    fc.assert(
      fc.property(header, fc.nat(20), (value, length) => survives(fileOf(value, length))),
      { numRuns: 1000 },
    );
  });

  test('that was sound but for one byte crashes with nothing but a PerformerError', () => {
    const sound = joinChunks(
      encodeSafetensors(
        new Map<string, AnyHostTensor>([
          ['w', float32([3], [1, 2, 3])],
          ['v', int32([1], [4])],
        ]),
        { a: 'b' },
      ),
    );
    fc.assert(
      fc.property(fc.nat(sound.length - 1), fc.nat(255), (position, byte) => {
        const changed = sound.slice();
        changed[position] = byte;
        survives(changed);
        survives(sound.subarray(0, position));
      }),
      { numRuns: 500 },
    );
  });
});

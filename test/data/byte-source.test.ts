import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteSource, bytesSource, joinSources, sliceSource } from '../../src/data/index.js';

const sequence = (length: number) => Uint8Array.from({ length }, (_, index) => index);
const all = async (source: ByteSource) => [...(await source.read(0, source.length))];

describe('a byte source', () => {
  test('of bytes gives exactly what is asked for, without a copy', async () => {
    const bytes = sequence(10);
    const read = await bytesSource(bytes).read(3, 4);
    expect([...read]).toEqual([3, 4, 5, 6]);
    expect(read.buffer).toBe(bytes.buffer);
  });

  test('that is a slice of a slice counts from its own start', async () => {
    const slice = sliceSource(sliceSource(bytesSource(sequence(10)), 2, 9), 1, 5);
    expect(slice.length).toBe(4);
    expect(await all(slice)).toEqual([3, 4, 5, 6]);
  });

  test('joined from any pieces reads like the whole', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 6 })),
        fc.nat(40),
        fc.nat(40),
        async (pieces, from, size) => {
          const whole = pieces.flatMap((piece) => [...piece]);
          const joined = joinSources(pieces.map(bytesSource));
          expect(joined.length).toBe(whole.length);
          const offset = Math.min(from, whole.length);
          const length = Math.min(size, whole.length - offset);
          expect([...(await joined.read(offset, length))]).toEqual(whole.slice(offset, offset + length));
        },
      ),
    );
  });

  test.each([
    [-1, 2],
    [0, 11],
    [11, 0],
    [8, 3],
    [0.5, 1],
    [0, -1],
    [Number.NaN, 1],
    [Number.MAX_SAFE_INTEGER, 1],
  ])('refuses to read what is not there: %d, %d', async (offset, length) => {
    const source = bytesSource(sequence(10));
    for (const kind of [source, sliceSource(source, 0, 10), joinSources([source])]) {
      await expect(kind.read(offset, length)).rejects.toMatchObject({
        code: 'DATA',
        message: expect.stringContaining(`expected a range within 10 bytes, got ${length} bytes from ${offset}.`),
      });
    }
  });

  test('cannot be sliced beyond its end or backwards', () => {
    const source = bytesSource(sequence(10));
    expect(() => sliceSource(source, 5, 11)).toThrow('sliceSource: expected a range within 10 bytes');
    expect(() => sliceSource(source, 5, 4)).toThrow('sliceSource: expected a range within 10 bytes');
  });
});

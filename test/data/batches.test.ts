import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/base/index.js';
import {
  bytesSource,
  byteTokenizer,
  byteTokens,
  type EvaluationWindows,
  evaluationWindowCount,
  evaluationWindows,
  laneWindows,
  randomWindows,
  splitCorpus,
} from '../../src/data/index.js';

const sequence = (length: number) => Uint8Array.from({ length }, (_, index) => index % 256);
const text = bytesSource(sequence(250));
const source = byteTokens(text);
const rowsOf = ({ shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> }) => {
  const [rows, columns] = shape as [number, number];
  return Array.from({ length: rows }, (_, row) => Array.from(data).slice(row * columns, (row + 1) * columns));
};
const run = (start: number, length: number) => Array.from({ length }, (_, index) => start + index);

describe('a split corpus', () => {
  const split = (heldOut: number, window: number) => splitCorpus(text, byteTokenizer, { heldOut, window });

  test('holds out its last part', async () => {
    const { train, heldOut } = await split(0.1, 8);
    expect([train.length, heldOut.length]).toEqual([225, 25]);
    expect([...(await heldOut.read(0, 2))]).toEqual([225, 226]);
  });

  test('is refused with both sizes when a part is shorter than a window and its last target', async () => {
    await expect(split(0.1, 25)).rejects.toThrow(
      'splitCorpus: expected at least 26 tokens (window + 1) in each part, got 225 to train on and 25 held out. Give',
    );
    await expect(split(0.9, 25)).rejects.toThrow('got 25 to train on and 225 held out.');
    expect((await split(0.1, 24)).heldOut.length).toBe(25);
  });

  test.each([0, 1, -0.1, Number.NaN])('is refused for a fraction of %d', async (fraction) => {
    await expect(split(fraction, 8)).rejects.toThrow('expected a held-out fraction between 0 and 1');
  });
});

describe('random windows', () => {
  const random = Random.fromSeed(7);

  test('are pieces of the source', async () => {
    const tokens = await randomWindows(source, { batch: 5, window: 8, random, step: 0 });
    expect(tokens.shape).toEqual([5, 9]);
    for (const row of rowsOf(tokens)) expect(row).toEqual(run(row[0]!, 9));
  });

  test('depend on the key and the step alone', async () => {
    const at = (step: number, key = random) => randomWindows(source, { batch: 5, window: 8, random: key, step });
    const first = await at(3);
    await at(4);
    expect(await at(3)).toEqual(first);
    expect(await at(4)).not.toEqual(first);
    expect(await at(3, Random.fromSeed(8))).not.toEqual(first);
  });

  test('begin everywhere, the very end included, equally often', async () => {
    const short = byteTokens(bytesSource(sequence(13))); // starts 0 to 4
    const counts = new Array<number>(5).fill(0);
    for (let step = 0; step < 100; step++) {
      const tokens = await randomWindows(short, { batch: 50, window: 8, random, step });
      for (const [start] of rowsOf(tokens)) counts[start!]!++;
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(800));
  });

  test('need a window and its last target', async () => {
    const options = { batch: 1, window: 8, random, step: 0 };
    expect((await randomWindows(byteTokens(bytesSource(sequence(9))), options)).data).toEqual(
      Int32Array.from(run(0, 9)),
    );
    await expect(randomWindows(byteTokens(bytesSource(sequence(8))), options)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('randomWindows: expected at least 9 tokens, got 8.'),
    });
  });

  test.each([{ batch: 0 }, { window: 0 }, { window: 1.5 }, { step: -1 }])('are refused for %o', async (wrong) => {
    const options = { batch: 1, window: 8, random, step: 0, ...wrong };
    await expect(randomWindows(source, options)).rejects.toMatchObject({ code: 'CONFIG' });
  });
});

describe('lanes', () => {
  test('go on where the step before ended, and wrap to the start together', async () => {
    const lanes = byteTokens(bytesSource(sequence(62))); // two lanes of 31 bytes: seven windows of four and three bytes over
    for (let step = 0; step < 16; step++) {
      const { tokens, isStart } = await laneWindows(lanes, { batch: 2, window: 4, step });
      const index = step % 7;
      expect(isStart).toBe(index === 0);
      expect(rowsOf(tokens)).toEqual([run(index * 4, 5), run(31 + index * 4, 5)]);
    }
  });

  test('predict every byte of a lane that whole windows fill exactly once', async () => {
    const targets: number[] = [];
    for (let step = 0; step < 6; step++) {
      const { tokens } = await laneWindows(byteTokens(bytesSource(sequence(25))), { batch: 1, window: 4, step });
      targets.push(...rowsOf(tokens)[0]!.slice(1));
    }
    expect(targets).toEqual(run(1, 24));
  });

  test('are refused when a lane holds no window', async () => {
    await expect(laneWindows(source, { batch: 50, window: 5, step: 0 })).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('laneWindows with 50 lanes of 250 tokens: expected at least 6 tokens, got 5.'),
    });
  });
});

describe('evaluation windows', () => {
  test('predict every byte but the first exactly once, in order, from the byte before', async () => {
    const size = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 2, maxLength: 90 }), size, size, async (bytes, batch, window) => {
        const pairs: number[][] = [];
        let batches = 0;
        for await (const { tokens, mask } of evaluationWindows(byteTokens(bytesSource(bytes)), { batch, window })) {
          batches++;
          expect(tokens.shape).toEqual([batch, window + 1]);
          expect(mask.shape).toEqual([batch, window]);
          const masks = rowsOf(mask);
          for (const [row, values] of rowsOf(tokens).entries()) {
            masks[row]!.forEach((counts, column) => {
              if (counts === 1) pairs.push([values[column]!, values[column + 1]!]);
              else expect([counts, values[column + 1]]).toEqual([0, 0]);
            });
          }
        }
        expect(pairs).toEqual(Array.from(bytes.subarray(1), (byte, index) => [bytes[index]!, byte]));
        expect(batches).toBe(Math.ceil(evaluationWindowCount(byteTokens(bytesSource(bytes)), window) / batch));
      }),
    );
  });

  test('pad the last batch with zeros that do not count', async () => {
    const bytes = sequence(8).map((byte) => byte + 1);
    const batches: EvaluationWindows[] = [];
    for await (const next of evaluationWindows(byteTokens(bytesSource(bytes)), { batch: 3, window: 3 }))
      batches.push(next);
    expect(batches).toHaveLength(1);
    expect(rowsOf(batches[0]!.tokens)).toEqual([
      [1, 2, 3, 4],
      [4, 5, 6, 7],
      [7, 8, 0, 0],
    ]);
    expect(rowsOf(batches[0]!.mask)).toEqual([
      [1, 1, 1],
      [1, 1, 1],
      [1, 0, 0],
    ]);
  });

  test('need two bytes', async () => {
    const windows = evaluationWindows(byteTokens(bytesSource(sequence(1))), { batch: 1, window: 1 });
    await expect(windows.next()).rejects.toMatchObject({ code: 'DATA' });
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/base/index.js';

/** Threefry-2x32-20 word for word from Salmon et al. 2011, section 4.2: the plain twin of the one in use. */
function threefryReference(key: readonly [number, number], counter: readonly [number, number]): [number, number] {
  const rotations = [13, 15, 26, 6, 17, 29, 16, 24];
  const keys = [key[0], key[1], (0x1bd11bda ^ key[0] ^ key[1]) >>> 0];
  const modulus = 2n ** 32n;
  const add = (...terms: number[]) => Number(terms.reduce((sum, term) => sum + BigInt(term), 0n) % modulus);
  let [x, y] = [add(counter[0], keys[0]!), add(counter[1], keys[1]!)];
  for (let round = 0; round < 20; round++) {
    x = add(x, y);
    const turned = BigInt(y) << BigInt(rotations[round % 8]!);
    y = (Number(turned % modulus) | Number(turned / modulus)) >>> 0;
    y = (y ^ x) >>> 0;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x = add(x, keys[injection % 3]!);
      y = add(y, keys[(injection + 1) % 3]!, injection);
    }
  }
  return [x, y];
}

const moment = (values: Float64Array, order: number) =>
  values.reduce((sum, value) => sum + value ** order, 0) / values.length;

const correlation = (left: Float64Array, right: Float64Array) =>
  left.reduce((sum, value, index) => sum + value * right[index]!, 0) / left.length;

describe('the bits', () => {
  test('the plain twin gives the known answers of the Random123 library', () => {
    expect(threefryReference([0, 0], [0, 0])).toEqual([0x6b200159, 0x99ba4efe]);
    expect(threefryReference([0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff])).toEqual([0x1cb996fc, 0xbb002be7]);
    expect(threefryReference([0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3])).toEqual([0xc4923a9c, 0x483df7a0]);
  });

  test('seed 0 begins with the known answer for key 0 and counter 0', () => {
    expect([...Random.fromSeed(0).bits(2)]).toEqual([0x6b200159, 0x99ba4efe]);
  });

  test('every word is that of the plain twin', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 9 }), (seed, count) => {
        const random = Random.fromSeed(seed);
        const expected = Array.from({ length: 5 }, (_, block) => threefryReference(random.key, [block, 0])).flat();
        expect([...random.bits(count)]).toEqual(expected.slice(0, count));
      }),
    );
  });

  test('a split by number is that of the plain twin, with no two of the first thousand alike', () => {
    const random = Random.fromSeed(2 ** 40 + 7);
    expect(random.split(5).key).toEqual(threefryReference(random.key, [5, 0x40000000]));
    const keys = new Set(Array.from({ length: 1000 }, (_, part) => random.split(part).key.join()));
    expect(keys.size).toBe(1000);
  });
});

describe('a seed', () => {
  test('gives the same values every time, whatever was drawn before', () => {
    const random = Random.fromSeed(42);
    const first = random.split('weight').normals(10);
    random.uniform();
    expect(Random.fromSeed(42).split('weight').normals(10)).toEqual(first);
  });

  test('gives fewer values as the beginning of more values', () => {
    expect(Random.fromSeed(1).normals(7)).toEqual(Random.fromSeed(1).normals(100).subarray(0, 7));
  });

  test('gives other values than another seed', () => {
    expect(Random.fromSeed(1).bits(4)).not.toEqual(Random.fromSeed(2).bits(4));
    expect(Random.fromSeed(1).bits(4)).not.toEqual(Random.fromSeed(1 + 2 ** 32).bits(4));
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('%d is refused', (seed) => {
    expect(() => Random.fromSeed(seed)).toThrow(/Random\.fromSeed: expected an integer/);
  });
});

// Bounds are five standard errors of the estimate; the seeds are fixed, so a test that passes once passes always.
describe('the distributions', () => {
  const count = 1_000_000;
  const normals = Random.fromSeed(3).normals(count);

  test('normal deviates have the moments 0, 1, 0, 3, 0, 15', () => {
    const error = (variance: number) => 5 * Math.sqrt(variance / count);
    expect(Math.abs(moment(normals, 1))).toBeLessThan(error(1));
    expect(Math.abs(moment(normals, 2) - 1)).toBeLessThan(error(2));
    expect(Math.abs(moment(normals, 3))).toBeLessThan(error(15));
    expect(Math.abs(moment(normals, 4) - 3)).toBeLessThan(error(96));
    expect(Math.abs(moment(normals, 5))).toBeLessThan(error(945));
    expect(Math.abs(moment(normals, 6) - 15)).toBeLessThan(error(10_170));
  });

  test('normal deviates lie within one, two and three deviations as often as they should', () => {
    for (const [bound, probability] of [
      [1, 0.6826894921],
      [2, 0.9544997361],
      [3, 0.9973002039],
    ] as const) {
      const share = normals.filter((value) => Math.abs(value) < bound).length / count;
      expect(Math.abs(share - probability)).toBeLessThan(5 * Math.sqrt((probability * (1 - probability)) / count));
    }
  });

  test('neighbouring deviates, also the two of one Box–Muller pair, are uncorrelated', () => {
    const [left, right] = [normals.subarray(0, count - 1), normals.subarray(1)];
    expect(Math.abs(correlation(left, right))).toBeLessThan(5 / Math.sqrt(count));
    const square = (values: Float64Array) => values.map((value) => (value * value - 1) / Math.SQRT2);
    expect(Math.abs(correlation(square(left), square(right)))).toBeLessThan(5 / Math.sqrt(count));
  });

  test('draws of different splits are uncorrelated with each other and with the parent', () => {
    const parent = Random.fromSeed(3);
    const draws = [parent, parent.split('a'), parent.split('b'), parent.split(0), parent.split(1)].map((random) =>
      random.normals(100_000),
    );
    for (const [index, left] of draws.entries()) {
      for (const right of draws.slice(index + 1)) {
        expect(Math.abs(correlation(left, right))).toBeLessThan(5 / Math.sqrt(left.length));
      }
    }
  });

  test('uniform numbers fill [0, 1) evenly', () => {
    const values = Float64Array.from({ length: 100_000 }, (_, part) => Random.fromSeed(4).split(part).uniform());
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(Math.abs(moment(values, 1) - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 12 / values.length));
    expect(Math.abs(moment(values, 2) - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / 45 / values.length));
  });

  test('integers below 7 are equally likely (chi-squared of 6 degrees below its 1e-6 quantile)', () => {
    const counts = new Array<number>(7).fill(0);
    for (let part = 0; part < 70_000; part++) counts[Random.fromSeed(5).split(part).integer(7)]!++;
    const chiSquared = counts.reduce((sum, seen) => sum + (seen - 10_000) ** 2 / 10_000, 0);
    expect(chiSquared).toBeLessThan(38.26);
  });
});

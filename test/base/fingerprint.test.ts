import { describe, expect, test } from 'vitest';
import { Fingerprint } from '../../src/base/fingerprint.js';
import { float32, Random } from '../../src/base/index.js';
import { projectionDigest } from '../../src/features/index.js';

describe('a fingerprint', () => {
  const words = Random.fromSeed(3).bits(64);
  const of = (values: ArrayLike<number>) => new Fingerprint().add(values).toString();

  test('is what saved runs have: it may never change', () => {
    expect(projectionDigest([float32([2, 2], [1, -2, 0.5, 3]), float32([1], [7])])).toBe('f9ac6f34f80ccccc');
  });

  test('shows every flipped bit and every pair of words that were swapped', () => {
    const whole = of(words);
    for (let bit = 0; bit < 64 * 32; bit++) {
      const changed = Array.from(words);
      changed[bit >> 5] = (words[bit >> 5] as number) ^ (1 << (bit & 31));
      expect(of(changed)).not.toBe(whole);
    }
    for (let index = 1; index < 64; index++) {
      const swapped = Array.from(words);
      [swapped[0], swapped[index]] = [words[index] as number, words[0] as number];
      expect(of(swapped)).not.toBe(whole);
    }
  });

  test('is the same in whatever pieces the words come', () => {
    const pieces = new Fingerprint().add(words.subarray(0, 5)).add([]).add(words.subarray(5));
    expect(pieces.toString()).toBe(of(words));
  });
});

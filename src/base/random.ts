/**
 * A seeded, splittable generator: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011). A `Random` is a key and holds no state: every method is a function of the key and its arguments
 * alone, so independent draws take independent keys: `random.split('weight').normals(64)`.
 */
import { PerformerError } from './errors.js';

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** Two words of random bits for two words of counter, written to `out`. */
function threefry(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  const key2 = key0 ^ key1 ^ 0x1bd11bda;
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let group = 1; group <= 5; group++) {
    const first = (group & 1) === 1 ? 0 : 4;
    for (let round = first; round < first + 4; round++) {
      const rotation = rotations[round] as number;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << rotation) | (x1 >>> (32 - rotation))) ^ x0;
    }
    const phase = group % 3;
    x0 = (x0 + (phase === 0 ? key0 : phase === 1 ? key1 : key2)) | 0;
    x1 = (x1 + (phase === 0 ? key1 : phase === 1 ? key2 : key0) + group) | 0;
  }
  out[0] = x0;
  out[1] = x1;
}

/** A 32-bit hash of a name: FNV-1a of its UTF-16 units. */
export function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/**
 * A stream of random numbers that a seed determines. `split` gives independent streams by name, so that what draws
 * from one leaves the others as they were.
 */
export class Random {
  readonly key: readonly [number, number];

  private constructor(key0: number, key1: number) {
    this.key = [key0 >>> 0, key1 >>> 0];
  }

  /** A generator for an integer seed from 0 to 2⁵³−1. */
  static fromSeed(seed: number): Random {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new PerformerError('CONFIG', `Random.fromSeed: expected an integer from 0 to 2^53-1, got ${seed}.`);
    }
    return new Random(Math.floor(seed / 2 ** 32), seed % 2 ** 32);
  }

  /** An independent generator for each name or non-negative integer. */
  split(part: string | number): Random {
    const out = new Uint32Array(2);
    const [key0, key1] = this.key;
    if (typeof part === 'string') threefry(key0, key1, hashName(part), 0x80000000 | part.length, out);
    else threefry(key0, key1, part % 2 ** 32, 0x40000000 ^ Math.floor(part / 2 ** 32), out);
    return new Random(out[0] as number, out[1] as number);
  }

  /** `count` words of 32 random bits. */
  bits(count: number): Uint32Array {
    const words = new Uint32Array(count + (count & 1));
    const out = new Uint32Array(2);
    for (let index = 0; index < words.length; index += 2) {
      threefry(this.key[0], this.key[1], index / 2, 0, out);
      words[index] = out[0] as number;
      words[index + 1] = out[1] as number;
    }
    return words.subarray(0, count);
  }

  /** A number in [0, 1) with 53 random bits. */
  uniform(): number {
    const [high, low] = this.bits(2) as unknown as [number, number];
    return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
  }

  /** An integer in [0, below), without bias for below up to 2⁵³. */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** The numbers from 0 up to, not including, `count` in an order of which each is equally likely (Fisher–Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, index) => index);
    const words = this.bits(count);
    for (let last = count - 1; last > 0; last--) {
      const other = Math.floor(((words[last] as number) / 2 ** 32) * (last + 1));
      [order[last], order[other]] = [order[other] as number, order[last] as number];
    }
    return order;
  }

  /** `count` independent standard normal deviates in float64 (Box–Muller). */
  normals(count: number): Float64Array {
    const values = new Float64Array(count);
    const words = this.bits(count + (count & 1));
    for (let index = 0; index < count; index += 2) {
      const radius = Math.sqrt(-2 * Math.log(((words[index] as number) + 0.5) / 2 ** 32));
      const angle = (2 * Math.PI * (words[index + 1] as number)) / 2 ** 32;
      values[index] = radius * Math.cos(angle);
      if (index + 1 < count) values[index + 1] = radius * Math.sin(angle);
    }
    return values;
  }
}

/**
 * Draws of classes from a proposal q, and what a loss needs to know of them.
 *
 * A class that was drawn more than once is held once with its count: m equal terms e^{o}/(s·q) of a sampled partition
 * function are the one term e^{o − log(s·q/m)}.
 */
import { PerformerError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';

/** Classes that were drawn as negatives. */
export interface Draws {
  /** The distinct classes that were drawn. */
  readonly classes: Int32Array;
  /** How often each was drawn. */
  readonly counts: Int32Array;
  /** q of each: the probability that one draw gives this class. */
  readonly probabilities: Float64Array;
}

/** log(m/(s·q)) for each distinct class: what is added to its logit. s is the number of draws, m the class's count. */
export function logCorrections(draws: Draws): Float64Array {
  const total = draws.counts.reduce((sum, count) => sum + count, 0);
  return draws.probabilities.map((q, index) => Math.log((draws.counts[index] as number) / (total * q)));
}

/** Throws CONFIG unless `value` is a positive integer. */
export function expectCount(where: string, name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new PerformerError('CONFIG', `${where}: expected a positive integer as ${name}, got ${value}.`);
  }
}

/** `count` independent numbers in [0, 1) with 53 random bits each. */
export function uniforms(random: Random, count: number): Float64Array {
  const words = random.bits(2 * count);
  return Float64Array.from({ length: count }, (_, index) => {
    const high = (words[2 * index] as number) >>> 5;
    const low = (words[2 * index + 1] as number) >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  });
}

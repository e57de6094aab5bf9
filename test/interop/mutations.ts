/** Bytes with damage: seeded, so that what fails once fails again. */
import { Random } from '../../src/base/index.js';

/** `count` damaged copies: single bits flipped, bytes replaced, pieces cut out, doubled and swapped. */
export function* mutationsOf(bytes: Uint8Array, count: number, seed: number): Generator<Uint8Array> {
  const random = Random.fromSeed(seed);
  for (let index = 0; index < count; index++) {
    const draws = random.split(String(index));
    const below = (limit: number, name: string) => Math.floor(draws.split(name).uniform() * limit);
    const at = below(bytes.length, 'at');
    const length = Math.min(bytes.length - at, 1 + below(16, 'length'));
    const other = below(bytes.length - length + 1, 'other');
    const copy = Uint8Array.from(bytes);
    switch (index % 6) {
      case 0:
      case 1:
        copy[at] = (copy[at] as number) ^ (1 << below(8, 'bit'));
        break;
      case 2:
        copy[at] = below(256, 'byte');
        break;
      case 3:
        copy.set(bytes.subarray(other, other + length), at);
        copy.set(bytes.subarray(at, at + length), other);
        break;
      default: {
        const piece = bytes.subarray(at, at + length);
        const middle = index % 6 === 4 ? [] : [piece, piece];
        yield Uint8Array.from(Buffer.concat([bytes.subarray(0, at), ...middle, bytes.subarray(at + length)]));
        continue;
      }
    }
    yield copy;
  }
}

/** What a reader made of damaged bytes; undefined where it refused them. Any other failure is thrown. */
export function readOrRefuse<T>(read: () => T, code = 'CHECKPOINT'): T | undefined {
  try {
    return read();
  } catch (cause) {
    if ((cause as { code?: unknown }).code === code) return undefined;
    throw cause;
  }
}

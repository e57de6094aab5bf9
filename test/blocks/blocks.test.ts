import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, uint32 } from '../../src/base/index.js';
import { dropout, noTokens, positionsFrom, rotaryAngles, shiftTokens } from '../../src/blocks/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { gradient, multiply, spec, sum } from '../../src/graph/index.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';

const engines = [referenceEngine(), nodeEngine({ threads: 1 })];

describe('rotary positions', () => {
  it.each(engines.map((engine) => ({ name: engine.name, engine })))(
    'know the angle of a token at any position, up to a billion, on $name',
    async ({ engine }) => {
      const executable = await engine.compile(
        ({ start }) => rotaryAngles(positionsFrom(start, 3), 8),
        [{ start: spec('int32', [1]) }],
      );
      for (const start of [0, 4097, 1_000_000, 1_000_000_000]) {
        const { cosine, sine } = await executable.run([
          { start: { dtype: 'int32', shape: [1], data: Int32Array.of(start) } },
        ]);
        for (let token = 0; token < 3; token++) {
          for (let i = 0; i < 4; i++) {
            // Each frequency is a whole number of 2⁻³² turns, half of one away from the definition at most.
            const steps = BigInt(Math.round((10_000 ** (-i / 4) / (2 * Math.PI)) * 2 ** 32));
            const phase = Number((steps * BigInt(start + token)) % 2n ** 32n) / 2 ** 32;
            expect(values(cosine)[token * 4 + i]).toBeCloseTo(Math.cos(2 * Math.PI * phase), 5);
            expect(values(sine)[token * 4 + i]).toBeCloseTo(Math.sin(2 * Math.PI * phase), 5);
            const exact = (start + token) * 10_000 ** (-i / 4);
            const drift = Math.abs(values(cosine)[token * 4 + i]! - Math.cos(exact));
            expect(drift).toBeLessThan(1e-5 + (start + 3) * 2 ** -33 * 2 * Math.PI);
          }
        }
      }
    },
  );
});

describe('dropout', () => {
  const shape = [64, 257];
  const ones = float32(shape, new Float32Array(64 * 257).fill(1));
  const run = async (
    engine: (typeof engines)[number],
    seed: number,
    step: number,
    site = 'a',
    rate = 0.3,
  ): Promise<HostTensor> => {
    const word = spec('uint32', []);
    const executable = await engine.compile(
      ({ x }, key) => dropout(x, rate, site, key),
      [{ x: spec('float32', shape) }, { seed: word, step: word }],
    );
    return executable.run([{ x: ones }, { seed: uint32([], [seed]), step: uint32([], [step]) }]);
  };

  it('drops at its rate and keeps the mean', async () => {
    const kept = values(await run(engines[1]!, 1, 1)).filter((value) => value !== 0);
    const count = 64 * 257;
    expect(Math.abs(kept.length / count - 0.7)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / count));
    expect(kept[0]).toBeCloseTo(1 / 0.7, 6);
  });
  it('drops the same elements for the same seed and step on every engine, and others otherwise', async () => {
    const first = values(await run(engines[1]!, 1, 1));
    expect(values(await run(engines[1]!, 1, 1))).toEqual(first);
    expect(largestError(await run(engines[0]!, 1, 1), await run(engines[1]!, 1, 1))).toBeLessThan(1e-6);
    const others = [await run(engines[1]!, 2, 1), await run(engines[1]!, 1, 2), await run(engines[1]!, 1, 1, 'b')];
    for (const other of others) {
      const both = values(other).filter((value, at) => value === 0 && first[at] === 0).length;
      expect(both / first.length).toBeCloseTo(0.09, 1.5); // independent: 0.3²
    }
  });
  it('is nothing without a key, and its gradient drops what it dropped', async () => {
    const word = spec('uint32', []);
    const executable = await engines[1]!.compile(
      ({ x }, key) => ({
        off: dropout(x, 0.5, 'a', undefined),
        on: gradient(sum(multiply(dropout(x, 0.5, 'a', key), x)), { x }).x,
        y: dropout(x, 0.5, 'a', key),
      }),
      [{ x: spec('float32', shape) }, { seed: word, step: word }],
    );
    const { off, on, y } = await executable.run([{ x: ones }, { seed: uint32([], [1]), step: uint32([], [1]) }]);
    expect(values(off)).toEqual(values(ones));
    expect(values(on)).toEqual(values(y).map((value) => value * 2));
  });
});

describe('token shift', () => {
  it('takes half of the channels from the token before, and from the carried one at the start', async () => {
    const executable = await engines[0]!.compile(
      ({ x, previous }) => ({ fresh: shiftTokens(x, noTokens(1, 1, 4)), after: shiftTokens(x, previous) }),
      [{ x: spec('float32', [1, 3, 4]), previous: spec('float32', [1, 1, 2]) }],
    );
    const x = float32(
      [1, 3, 4],
      Array.from({ length: 12 }, (_, i) => i),
    );
    const { fresh, after } = await executable.run([{ x, previous: float32([1, 1, 2], [70, 71]) }]);
    expect(values(fresh)).toEqual([0, 0, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11]);
    expect(values(after).slice(0, 4)).toEqual([70, 71, 2, 3]);
  });
  it('has the gradient that ordinary differentiation gives', async () => {
    const executable = await engines[0]!.compile(
      ({ x, w }) => gradient(sum(multiply(shiftTokens(x, noTokens(2, 1, 5)), w)), { x }),
      [{ x: spec('float32', [2, 3, 5]), w: spec('float32', [2, 3, 5]) }],
    );
    const w = normal('w', [2, 3, 5]);
    const { x } = await executable.run([{ x: normal('x', [2, 3, 5]), w }]);
    const weight = values(w);
    const expected = weight.map((value, at) => {
      const token = Math.floor(at / 5) % 3;
      if (at % 5 >= 2) return value;
      return token === 2 ? 0 : weight[at + 5]!;
    });
    values(x).forEach((value, at) => expect(value).toBeCloseTo(expected[at]!, 6));
  });

  // Of 9 channels 4 are shifted, which three tokens share as 1, 2 and 1.
  const sharing = [1, 2, 2, 3, 0, 0, 0, 0, 0];
  const lengths = [1, 2, 5];

  it.each(lengths)('shares the channels among three tokens of %i and of those before', async (length) => {
    const executable = await engines[0]!.compile(
      ({ x, before }) => ({ y: shiftTokens(x, before) }),
      [{ x: spec('float32', [1, length, 9]), before: spec('float32', [1, 3, 4]) }],
    );
    const [x, before] = [normal('x', [1, length, 9]), normal('before', [1, 3, 4])];
    const { y } = await executable.run([{ x, before }]);
    values(y).forEach((value, at) => {
      const [token, channel] = [Math.floor(at / 9), at % 9];
      const from = token - sharing[channel]!;
      expect(value).toBe(from < 0 ? values(before)[(from + 3) * 4 + channel] : values(x)[from * 9 + channel]);
    });
  });

  it.each(lengths)('over three tokens has the gradient of each channel of %i tokens', async (length) => {
    const executable = await engines[0]!.compile(
      ({ x, w }) => gradient(sum(multiply(shiftTokens(x, noTokens(1, 3, 9)), w)), { x }),
      [{ x: spec('float32', [1, length, 9]), w: spec('float32', [1, length, 9]) }],
    );
    const w = normal('w', [1, length, 9]);
    const { x } = await executable.run([{ x: normal('x', [1, length, 9]), w }]);
    values(x).forEach((value, at) => {
      const [token, channel] = [Math.floor(at / 9), at % 9];
      const to = token + sharing[channel]!;
      expect(value).toBe(to < length ? values(w)[to * 9 + channel] : 0);
    });
  });
});

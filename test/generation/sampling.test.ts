import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Random } from '../../src/base/index.js';
import { chooseToken, type SamplingOptions } from '../../src/generation/index.js';

const random = Random.fromSeed(42);
const logits = Float32Array.of(2, -1, 0.5, 2, -3, 1);

function softmax(scores: readonly number[]): number[] {
  const weights = scores.map(Math.exp);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Pearson's χ² of 20 000 draws against exact probabilities; a token of probability 0 must never come. */
function expectDistribution(expected: readonly number[], options: SamplingOptions, recent: Iterable<number> = []) {
  const draws = 20_000;
  const counts = expected.map(() => 0);
  for (let draw = 0; draw < draws; draw++) counts[chooseToken(logits, options, recent, random.split(draw))]!++;
  let statistic = 0;
  let freedom = -1;
  expected.forEach((probability, token) => {
    if (probability === 0) return expect(counts[token]).toBe(0);
    freedom++;
    statistic += (counts[token]! - draws * probability) ** 2 / (draws * probability);
  });
  // The mean of χ² is its degrees of freedom, its variance twice that: five deviations and some for the long tail.
  expect(statistic).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom) + 5);
}

test('arguments of another kind are refused', () => {
  const choose = (...given: unknown[]) => chooseToken(...(given as Parameters<typeof chooseToken>));
  expect(() => choose([1, 2], { temperature: 1 }, [], random)).toThrow(/logits in a Float32Array, got an Array\./);
  expect(() => choose(logits, { temperature: 1 }, 5, random)).toThrow(/a list of tokens seen, got a number\./);
  expect(() => choose(logits, { temperature: 1 }, [], Math.random)).toThrow(/expected a Random, got a function\./);
});

const plain = Array.from(logits);
/** Tokens by falling logit: 0, 3, 5, 2, 1, 4. */
const only = (tokens: readonly number[], scores = plain) =>
  softmax(scores.map((score, token) => (tokens.includes(token) ? score : Number.NEGATIVE_INFINITY)));

describe('draws', () => {
  test('at temperature 1 follow the softmax of the logits', () => {
    expectDistribution(softmax(plain), { temperature: 1 });
  });

  test('at other temperatures follow that of the logits divided by it', () => {
    expectDistribution(softmax(plain.map((logit) => logit / 2)), { temperature: 2 });
    expectDistribution(softmax(plain.map((logit) => logit / 0.5)), { temperature: 0.5 });
  });

  test('with top-k come from the k likeliest tokens in their proportion, ties going to the lowest', () => {
    expectDistribution(only([0]), { temperature: 1, topK: 1 });
    expectDistribution(only([0, 3, 5]), { temperature: 1, topK: 3 });
    expectDistribution(softmax(plain), { temperature: 1, topK: 100 });
  });

  test('with top-p come from the smallest set that reaches p', () => {
    const [p0, , , p3, , p5] = softmax(plain) as [number, number, number, number, number, number];
    expectDistribution(only([0]), { temperature: 1, topP: p0 - 1e-9 });
    expectDistribution(only([0, 3]), { temperature: 1, topP: p0 + 1e-9 });
    expectDistribution(only([0, 3, 5]), { temperature: 1, topP: p0 + p3 + 1e-9 });
    expectDistribution(only([0, 3, 5]), { temperature: 1, topP: p0 + p3 + p5 - 1e-9 });
    expectDistribution(only([0]), { temperature: 1, topP: 1e-12 });
    expectDistribution(softmax(plain), { temperature: 1, topP: 1 });
  });

  test('apply top-p after the temperature and within top-k', () => {
    const scaled = plain.map((logit) => logit / 2);
    const [p0, , , p3] = only([0, 3, 5], scaled) as [number, number, number, number];
    const options = { temperature: 2, topK: 3 };
    expectDistribution(only([0, 3], scaled), { ...options, topP: p0 + p3 - 1e-9 });
    expectDistribution(only([0, 3, 5], scaled), { ...options, topP: p0 + p3 + 1e-9 });
  });

  test('with a repetition penalty divide positive logits of seen tokens and multiply negative ones', () => {
    const penalized = plain.map((logit, token) => {
      if (token !== 0 && token !== 4) return logit;
      return logit > 0 ? logit / 1.5 : logit * 1.5;
    });
    expectDistribution(softmax(penalized), { temperature: 1, repetitionPenalty: 1.5 }, [4, 0, 0, 4, 4]);
    const scaled = penalized.map((logit) => logit / 2);
    expectDistribution(only([3], scaled), { temperature: 2, topK: 1, repetitionPenalty: 1.5 }, [4, 0]);
  });
});

describe('at temperature 0', () => {
  const greedy = { temperature: 0 };

  test('the largest logit wins, the lowest token of equal ones', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1 }), (values) => {
        const token = chooseToken(Float32Array.from(values), greedy, [], random);
        expect(token).toBe(values.indexOf(Math.max(...values)));
      }),
    );
  });

  test('a repetition penalty counts as well', () => {
    expect(chooseToken(logits, greedy, [], random)).toBe(0);
    expect(chooseToken(logits, { ...greedy, repetitionPenalty: 1.1 }, [0], random)).toBe(3);
    expect(chooseToken(logits, { ...greedy, repetitionPenalty: 0.5 }, [5, 5], random)).toBe(0); // 2 and 2, once
    expect(chooseToken(logits, { ...greedy, repetitionPenalty: 0.4 }, [5], random)).toBe(5);
  });
});

describe('a choice', () => {
  test('is a function of its key, and leaves the logits alone', () => {
    const copy = logits.slice();
    const options = { temperature: 1, topK: 4, topP: 0.9, repetitionPenalty: 1.2 };
    const choices = () =>
      Array.from({ length: 50 }, (_, draw) => chooseToken(logits, options, [1], random.split(draw)));
    expect(choices()).toEqual(choices());
    expect(new Set(choices()).size).toBeGreaterThan(1);
    expect(logits).toEqual(copy);
  });

  test('survives the smallest and largest numbers', () => {
    const wide = Float32Array.of(-3e38, 3e38, Number.NEGATIVE_INFINITY);
    for (const temperature of [Number.MIN_VALUE, 1e-300, 1, 1e300]) {
      const token = chooseToken(wide, { temperature, topP: 0.5 }, [], random);
      expect([0, 1]).toContain(token);
    }
    expect(chooseToken(wide, { temperature: 1e-300 }, [], random)).toBe(1);
  });

  test('is always among the kept tokens', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, min: -50, max: 50 }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0, max: 1, minExcluded: true, noNaN: true }),
        fc.nat(),
        (values, topK, topP, seed) => {
          const token = chooseToken(
            Float32Array.from(values),
            { temperature: 0.7, topK, topP },
            [],
            Random.fromSeed(seed),
          );
          const rank = values.filter((value, at) => value > values[token]! || (value === values[token] && at < token));
          expect(rank.length).toBeLessThan(topK);
        },
      ),
    );
  });

  test('is refused for logits that are no numbers', () => {
    const nan = Float32Array.of(0, Number.NaN);
    const message = expect.stringMatching(/got NaN for token 1/);
    for (const temperature of [0, 1]) {
      expect(() => chooseToken(nan, { temperature }, [], random)).toThrow(
        expect.objectContaining({ code: 'NUMERIC', message }),
      );
      for (const infinite of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const row = Float32Array.of(infinite);
        expect(() => chooseToken(row, { temperature }, [], random)).toThrow(
          expect.objectContaining({ code: 'NUMERIC' }),
        );
      }
    }
  });

  test.each([
    [{ temperature: -1 }, 'temperature'],
    [{ temperature: Number.NaN }, 'temperature'],
    [{ temperature: Number.POSITIVE_INFINITY }, 'temperature'],
    [{}, 'temperature'],
    [{ temperature: 1, topK: 0 }, 'topK'],
    [{ temperature: 1, topK: 1.5 }, 'topK'],
    [{ temperature: 1, topP: 0 }, 'topP'],
    [{ temperature: 1, topP: 1.01 }, 'topP'],
    [{ temperature: 1, repetitionPenalty: 0 }, 'repetitionPenalty'],
    [{ temperature: 1, top_p: 0.9 }, 'top_p'],
  ])('is refused for the options %j', (options, name) => {
    expect(() => chooseToken(logits, options as SamplingOptions, [], random)).toThrow(
      expect.objectContaining({ code: 'CONFIG', message: expect.stringContaining(name) }),
    );
  });

  test('is refused for a seen token that is not in the vocabulary', () => {
    const options = { temperature: 1, repetitionPenalty: 2 };
    expect(() => chooseToken(logits, options, [6], random)).toThrow(expect.objectContaining({ code: 'DATA' }));
  });
});

import { describe, expect, test } from 'vitest';
import { type Activation, activationNames, activationOf } from '../../../src/blocks/index.js';
import { modelNames } from '../../../src/models/index.js';
import { type Choice, coveringOf } from '../../support/covering.js';
import { coveredFactors, problemWith } from '../../support/factors.js';

const told = (choice: Choice) =>
  Object.entries(choice)
    .map((each) => each.join(' '))
    .join(' with ');

describe('a covering', () => {
  const factors = { letter: ['a', 'b', 'c'], sign: ['+', '−'], number: ['1', '2', '3', '4'] };
  const isPossible = ({ letter, number }: Choice) => !(letter === 'a' && number === '4');
  const { cases, impossible } = coveringOf(factors, isPossible);

  test('has every pair that can be, and none that cannot', () => {
    expect(impossible).toEqual([{ letter: 'a', number: '4' }]);
    const has = (pair: Choice) => cases.some((each) => Object.entries(pair).every(([at, level]) => each[at] === level));
    for (const letter of factors.letter) {
      for (const number of factors.number) expect(has({ letter, number })).toBe(isPossible({ letter, number }));
      for (const sign of factors.sign) expect(has({ letter, sign })).toBe(true);
    }
    for (const sign of factors.sign) for (const number of factors.number) expect(has({ sign, number })).toBe(true);
  });

  test('has not many more cases than the two largest factors have pairs', () => {
    expect(cases.length).toBeGreaterThanOrEqual(11);
    expect(cases.length).toBeLessThan(16);
  });
});

describe('the options of models in all pairs', () => {
  const { cases, impossible } = coveredFactors();

  test('are of every family, each case a model that can be', () => {
    expect(new Set(cases.map(({ family }) => family))).toEqual(new Set([...modelNames(), 'performer in order']));
    for (const choice of cases) expect(problemWith(choice)?.message).toBeUndefined();
  });

  test('are refused by one error where they cannot be', () => {
    for (const pair of impossible) expect(problemWith(pair)?.code, told(pair)).toBe('CONFIG');
  });

  test('are refused where this says so, and nowhere else', () => {
    const inOrder = ['causal-language-model', 'pixel-model', 'performer in order'];
    const images = ['image-classifier', 'pixel-model'];
    const bothWays = ['encoder', 'classifier', 'token-classifier', 'image-classifier', 'performer'];
    const all = [...new Set([...inOrder, ...images, ...bothWays, 'encoder-decoder'])];
    const refused = [
      ...product(inOrder, ['attention exact up to a length']),
      ...product([...inOrder, 'encoder-decoder'], ['attention clustered', 'attention clustered with top keys']),
      ...product(bothWays, [
        'attention epsilon in the normalizer',
        'attention decay',
        'attention gates',
        'attention hybrid with gates',
      ]),
      ...product(
        all.filter((family) => !images.includes(family)),
        ['positions of pixels'],
      ),
      ...product(images, ['positions learned', 'positions axial']),
      ...['positions of pixels with logits layer', 'positions of pixels with logits scale'],
      ...product(['classifier'], ['pooling class token']),
      ...product(['image-classifier'], ['pooling first', 'targets labels', 'targets values']),
      ...product(['token-classifier'], ['targets labels', 'targets values']),
      ...['attention local heads with keyHeads one', 'attention none with memoryTokens some'],
      ...['norm layer behind with residual parallel', 'norm layer behind with residual reversible'],
      ...['norm rms behind with residual parallel', 'norm rms behind with residual reversible'],
      ...activationNames.filter(isGated).map((activation) => `activation ${activation} with logits layer`),
    ];
    // What a family has no option for, it does not know.
    const known = impossible.filter((pair) => !problemWith(pair)!.message.includes('nrecognized key'));
    expect(known.map(told).sort()).toEqual(refused.sort());
    // These by the families that pool so.
    expect(impossible).toContainEqual({ attention: 'none', pooling: 'first' });
    expect(impossible).toContainEqual({ attention: 'none', pooling: 'class token' });
  });
});

const isGated = (activation: Activation) => activationOf(activation) === undefined;

const product = (families: readonly string[], others: readonly string[]) =>
  families.flatMap((family) => others.map((other) => `family ${family} with ${other}`));

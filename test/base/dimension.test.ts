import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addDims,
  broadcastShapes,
  ceilDivide,
  type Dim,
  elementCount,
  evaluateDim,
  formatDim,
  formatShape,
  multiplyDims,
  normalizeAxis,
  resolveShape,
  roundUp,
  sameDim,
  stridesOf,
  subtractDims,
  symbol,
  symbolName,
} from '../../src/base/index.js';

/** An expression together with what it is worth: the expression is built, the value is computed. */
interface Case {
  readonly dim: Dim;
  readonly value: number;
}
const bindings = new Map([
  ['batch', 3],
  ['length', 130],
]);
const leaf: fc.Arbitrary<Case> = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map((value) => ({ dim: value, value })),
  fc.constantFrom(...bindings).map(([name, value]) => ({ dim: symbol(name), value })),
);
const { expression } = fc.letrec<{ expression: Case }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => ({
      dim: addDims(a.dim, b.dim),
      value: a.value + b.value,
    })),
    fc.tuple(tie('expression'), leaf).map(([a, b]) => ({
      dim: multiplyDims(a.dim, b.dim),
      value: a.value * b.value,
    })),
    fc.tuple(tie('expression'), fc.integer({ min: 1, max: 64 })).map(([a, divisor]) => ({
      dim: ceilDivide(a.dim, divisor),
      value: Math.ceil(a.value / divisor),
    })),
  ),
}));

describe('a dimension', () => {
  test('has the value that plain arithmetic gives', () => {
    fc.assert(fc.property(expression, ({ dim, value }) => evaluateDim(dim, bindings) === value));
  });

  test('does not depend on the order in which it was written', () => {
    fc.assert(
      fc.property(expression, expression, expression, ({ dim: a }, { dim: b }, { dim: c }) => {
        expect(sameDim(addDims(a, b), addDims(b, a))).toBe(true);
        expect(sameDim(multiplyDims(a, b), multiplyDims(b, a))).toBe(true);
        expect(formatDim(multiplyDims(a, addDims(b, c)))).toBe(
          formatDim(addDims(multiplyDims(a, b), multiplyDims(a, c))),
        );
        expect(subtractDims(addDims(a, b), b).toString()).toBe(a.toString());
      }),
    );
  });

  test('prints as a polynomial with constants last', () => {
    const length = symbol('length');
    expect(formatDim(addDims(5, multiplyDims(length, 2)))).toBe('2*length + 5');
    expect(formatDim(subtractDims(length, 1))).toBe('length - 1');
    expect(formatDim(roundUp(length, 64))).toBe('64*ceil((length)/64)');
    expect(formatDim(subtractDims(length, length))).toBe('0');
  });

  test('of a whole multiple is divided without a ceiling', () => {
    const chunks = symbol('chunks');
    expect(sameDim(ceilDivide(multiplyDims(chunks, 64), 64), chunks)).toBe(true);
    expect(roundUp(130, 64)).toBe(192);
  });

  test('tells its name only when it is one symbol alone', () => {
    expect(symbolName(symbol('length'))).toBe('length');
    expect(symbolName(multiplyDims(symbol('length'), 2))).toBeUndefined();
    expect(symbolName(ceilDivide(symbol('length'), 2))).toBeUndefined();
    expect(symbolName(7)).toBeUndefined();
  });

  test('refuses names that are no names, divisors below 1 and symbols without a value', () => {
    expect(() => symbol('a b')).toThrow('symbol: expected a name');
    expect(() => ceilDivide(symbol('length'), 0)).toThrow('ceilDivide: expected a positive integer divisor, got 0.');
    expect(() => evaluateDim(symbol('other'), bindings)).toThrow('internal: the symbol other');
  });
});

describe('a shape', () => {
  const length = symbol('length');

  test('broadcasts by the rules of NumPy, with symbols too', () => {
    expect(formatShape(broadcastShapes('add', [4, 1, length], [7, 1]))).toBe('[4, 7, length]');
    expect(formatShape(broadcastShapes('add', [], [2, length]))).toBe('[2, length]');
    expect(() => broadcastShapes('add', [2, length], [3])).toThrow(
      'add: expected shapes that broadcast, got [2, length] and [3].',
    );
  });

  test('knows its elements, its strides and its axes from the end', () => {
    expect(elementCount([2, 3, 4])).toBe(24);
    expect(elementCount([])).toBe(1);
    expect(formatDim(elementCount([2, length]))).toBe('2*length');
    expect(resolveShape([2, length], bindings)).toEqual([2, 130]);
    expect(stridesOf([2, 3, 4])).toEqual([12, 4, 1]);
    expect(normalizeAxis('sum', -1, 3)).toBe(2);
    expect(() => normalizeAxis('sum', 3, 3)).toThrow('sum: expected an axis from -3 to 2, got 3.');
  });
});

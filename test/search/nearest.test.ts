/** The nearest vectors by cosine similarity, against sorting all of them. */
import { expect, test } from 'vitest';
import { Random } from '../../src/base/index.js';
import { nearest } from '../../src/search/index.js';
import { NearestSearch } from '../../src/search/nearest.js';

const dim = 12;
const random = Random.fromSeed(3);
const vectors = Array.from({ length: 300 }, (_, row) => Float32Array.from(random.split(row).normals(dim)));
const query = Float32Array.from(random.split('query').normals(dim));

const product = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((total, value, at) => total + value * b[at]!, 0);
const cosine = (a: Float32Array, b: Float32Array) => product(a, b) / Math.sqrt(product(a, a) * product(b, b));
const sorted = vectors
  .map((vector, index) => ({ index, score: cosine(query, vector) }))
  .sort((a, b) => b.score - a.score);

test.each([1, 7, 300, 65_536])('the %i nearest are those of sorting all by their cosine', (count) => {
  const found = nearest(query, vectors, { count });
  const expected = sorted.slice(0, count);
  expect(found.map(({ index }) => index)).toEqual(expected.map(({ index }) => index));
  for (const [at, { score }] of found.entries()) expect(score).toBeCloseTo(expected[at]!.score, 12);
});

test('rows in blocks of any size give the same', () => {
  const all = Float32Array.from(vectors.flatMap((vector) => [...vector]));
  for (const rows of [1, 32, 299, 300]) {
    const search = new NearestSearch(query, { count: 9 });
    for (let first = 0; first < vectors.length; first += rows) {
      search.look(all.subarray(first * dim, Math.min(first + rows, vectors.length) * dim), first);
    }
    expect(search.found).toEqual(nearest(query, vectors, { count: 9 }));
  }
});

test('lengths count nothing, zeros have the cosine 0, and of equal vectors the first comes first', () => {
  const [a, b] = [Float32Array.of(1, 0), Float32Array.of(0, 1)];
  const found = nearest(Float32Array.of(5, 0), [
    b,
    a,
    Float32Array.of(-3, 0),
    Float32Array.of(0, 0),
    a.map((x) => 9 * x),
  ]);
  expect(found.map(({ index }) => index)).toEqual([1, 4, 0, 3, 2]);
  expect(found.map(({ score }) => score)).toEqual([1, 1, 0, 0, -1]);
});

test('a vector with NaN or infinity is refused by its number, and so are other widths, counts and queries', () => {
  const broken = [Float32Array.of(1, 2), Float32Array.of(Number.NaN, 1)];
  expect(() => nearest([1, 2], broken)).toThrow('expected finite numbers in vector 1, got others');
  expect(() => nearest([1, 2], [Float32Array.of(Number.POSITIVE_INFINITY, 0)])).toThrow('in vector 0');
  expect(() => nearest([1, 2], [Float32Array.of(1, 2, 3, 4)])).toThrow(
    'expected 2 numbers, as the query has, got 4 in vector 0',
  );
  expect(() => nearest([1, 2], [], { count: 0 })).toThrow('a positive integer as count, got 0');
  expect(() => nearest([1, Number.NaN], [])).toThrow('finite numbers as the query');
  expect(() => nearest([], [])).toThrow('finite numbers as the query, got none');
});

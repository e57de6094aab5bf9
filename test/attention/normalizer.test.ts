/** What is added to the sums of the features of keys: one more key that every query sees, whose value is zero. */
import { describe, expect, it } from 'vitest';
import { causalTerms, divideTerms, normalizerTerm } from '../../src/attention/index.js';
import { float32, Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { exponentialMap, type FeatureMap, generalizedFeatures } from '../../src/features/index.js';
import { spec, type Tensor } from '../../src/graph/index.js';

const [length, heads, dim] = [5, 2, 4];
const drawn = (name: string) =>
  float32(
    [1, length, heads, dim],
    Random.fromSeed(9)
      .split(name)
      .normals(length * heads * dim),
  );
const [query, key, value] = [drawn('query'), drawn('key'), drawn('value')];
const scale = dim ** -0.25;

describe.each<[string, FeatureMap, (x: number) => number]>([
  ['relu', generalizedFeatures('relu', dim, undefined, { epsilon: 1e-3 }), (x) => Math.max(x, 0) + 1e-3],
  ['exponential', exponentialMap(dim), (x) => Math.exp(x) / Math.sqrt(dim)],
])('with %s features', (_, map, f) => {
  it.each([1e-6, 0.5])('%d is added to each sum', async (epsilon) => {
    const one = spec('float32', [1, length, heads, dim]);
    const run = await referenceEngine().compile(
      (inputs: Readonly<Record<'query' | 'key' | 'value', Tensor>>) =>
        divideTerms(causalTerms(inputs, map).terms, normalizerTerm(inputs, map, epsilon)),
      [{ query: one, key: one, value: one }],
    );
    const { data } = (await run.run([{ query, key, value }])) as { data: ArrayLike<number> };
    const row = (x: typeof query, place: number, head: number) =>
      Array.from({ length: dim }, (_, c) => x.data[(place * heads + head) * dim + c]!);
    const features = (x: typeof query, place: number, head: number) =>
      row(x, place, head).map((each) => f(each * scale));
    for (let head = 0; head < heads; head++) {
      for (let at = 0; at < length; at++) {
        const own = features(query, at, head);
        const weights = Array.from({ length: at + 1 }, (_, other) =>
          features(key, other, head).reduce((sum, each, c) => sum + each * own[c]!, 0),
        );
        const total = weights.reduce((a, b) => a + b) + epsilon * own.reduce((a, b) => a + b);
        for (let c = 0; c < dim; c++) {
          const expected = weights.reduce((sum, weight, j) => sum + weight * row(value, j, head)[c]!, 0) / total;
          expect(data[(at * heads + head) * dim + c]).toBeCloseTo(expected, 5);
        }
      }
    }
  });
});

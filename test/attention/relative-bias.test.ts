/** Relative positions by buckets, and the scores that they give. */
import { describe, expect, it } from 'vitest';
import { exactAttention } from '../../src/attention/index.js';
import { bucketsOf } from '../../src/attention/relative-bias.js';
import { float32, Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { spec, type Tensor } from '../../src/graph/index.js';

/** The formula of the paper's code in float64, for an offset of the key from the query. */
function bucketOf(offset: number, buckets: number, maxDistance: number, isCausal: boolean): number {
  const half = isCausal ? buckets : buckets / 2;
  const first = !isCausal && offset > 0 ? half : 0;
  const distance = isCausal ? Math.max(0, -offset) : Math.abs(offset);
  const exact = half / 2;
  if (distance < exact) return first + distance;
  const far = exact + Math.floor((Math.log(distance / exact) / Math.log(maxDistance / exact)) * (half - exact) + 1e-9);
  return first + Math.min(half - 1, far);
}

describe.each([
  [32, 128, true],
  [32, 128, false],
  [8, 20, true],
  [12, 33, false],
])('%d buckets up to %d, causal: %s', (buckets, maxDistance, isCausal) => {
  it('are those of the paper', () => {
    const found = bucketsOf(buckets, maxDistance, isCausal);
    expect(found.length).toBe(2 * maxDistance + 1);
    const expected = found.map((_, at) => bucketOf(at - maxDistance, buckets, maxDistance, isCausal));
    expect(found).toEqual(expected);
    expect(new Set(found).size).toBe(isCausal ? buckets : buckets - 1 + Number(found.includes(buckets / 2)));
  });
});

describe('exact attention with a learned score of distances', () => {
  const [length, heads, dim] = [6, 2, 3];
  const drawn = (name: string, shape: readonly number[]) =>
    float32(
      shape,
      Random.fromSeed(4)
        .split(name)
        .normals(shape.reduce((a, b) => a * b)),
    );
  const [query, key, value] = ['query', 'key', 'value'].map((name) => drawn(name, [1, length, heads, dim]));
  const table = drawn('table', [4, heads]);

  it.each([true, false])('adds it before the softmax, causal: %s', async (isCausal) => {
    const run = await referenceEngine().compile(
      (inputs: Readonly<Record<'query' | 'key' | 'value' | 'table', Tensor>>) =>
        exactAttention(inputs, { isCausal, bias: { table: inputs.table, maxDistance: 4 } }).output,
      [
        {
          ...Object.fromEntries(
            ['query', 'key', 'value'].map((name) => [name, spec('float32', [1, length, heads, dim])]),
          ),
          table: spec('float32', [4, heads]),
        } as never,
      ],
    );
    const { data } = (await run.run([{ query, key, value, table }] as never)) as { data: ArrayLike<number> };
    const at = (x: typeof query, place: number, head: number, channel: number) =>
      x!.data[(place * heads + head) * dim + channel]!;
    for (let head = 0; head < heads; head++) {
      for (let row = 0; row < length; row++) {
        const weights = Array.from({ length: isCausal ? row + 1 : length }, (_, other) => {
          const product = [0, 1, 2].reduce((sum, c) => sum + at(query, row, head, c) * at(key, other, head, c), 0);
          const bucket = bucketOf(Math.max(-4, Math.min(4, other - row)), 4, 4, isCausal);
          return Math.exp(product / Math.sqrt(dim) + table.data[bucket * heads + head]!);
        });
        const total = weights.reduce((a, b) => a + b);
        for (let channel = 0; channel < dim; channel++) {
          const expected = weights.reduce((sum, weight, j) => sum + weight * at(value, j, head, channel), 0) / total;
          expect(data[(row * heads + head) * dim + channel]).toBeCloseTo(expected, 6);
        }
      }
    }
  });
});

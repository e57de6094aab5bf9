/** The mixer of clustered attention in a model: what its training may do, and what it is made of. */
import { describe, expect, test } from 'vitest';
import { drawBuffers, type HostTensor, initialize, int32, leavesOf, Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { gradient, specsOf, square, sum, type Tensor } from '../../src/graph/index.js';
import { forwardOperations, trainingOperations } from '../../src/measure/index.js';
import { modelConfig, modelOf } from '../../src/models/index.js';
import { largestError } from '../support/compare.js';

const clustered = { kind: 'clustered', clusters: 3, hashBits: 5, iterations: 2 } as const;
const sizes = { model: 'encoder', dim: 12, depth: 2, heads: 2, headDim: 6 };
const modelWith = (attention: object | string) => modelOf(modelConfig({ ...sizes, attention }));

async function gradientsOf(attention: object, recompute: boolean): Promise<ReadonlyMap<string, HostTensor>> {
  const model = modelWith(attention);
  const params = initialize<object>(model.params, Random.fromSeed(1));
  const buffers = drawBuffers<object>(model.buffers, Random.fromSeed(2));
  const tokens = int32(
    [2, 20],
    Int32Array.from({ length: 40 }, (_, at) => (at * 7) % 50),
  );
  const inputs = { tokens, lengths: int32([2], [20, 13]) };
  const build = (learned: object, fixed: object, given: { tokens: Tensor<'int32'>; lengths: Tensor<'int32'> }) =>
    gradient(sum(square(model.apply({ params: learned, buffers: fixed }, given, { recompute }).hidden)), learned);
  const specs = [specsOf(params), specsOf(buffers), specsOf(inputs)];
  const compiled = await referenceEngine().compile(build as never, specs as never);
  const result = await compiled.run([params, buffers, inputs] as never);
  return new Map(leavesOf(result as object) as unknown as [string, HostTensor][]);
}

describe('a model with clustered attention', () => {
  test.each([0, 4])('has the same gradients where blocks are computed again, with %s top keys', async (topK) => {
    const [plain, again] = [
      await gradientsOf({ ...clustered, topK }, false),
      await gradientsOf({ ...clustered, topK }, true),
    ];
    expect(plain.has('blocks.0.attention.query.weight')).toBe(true);
    for (const [path, found] of plain) expect(largestError(again.get(path)!, found), path).toBeLessThan(1e-9);
  });

  test('draws its planes from the seed, others for each layer', () => {
    const drawn = (seed: number) => leavesOf(drawBuffers<object>(modelWith(clustered).buffers, Random.fromSeed(seed)));
    const planes = drawn(1) as unknown as [string, HostTensor][];
    expect(planes.map(([path, { shape }]) => [path, shape])).toEqual([
      ['blocks.0.attention.planes', [5, 6]],
      ['blocks.1.attention.planes', [5, 6]],
    ]);
    expect(planes[0]![1].data).not.toEqual(planes[1]![1].data);
    expect(drawn(1)).toEqual(planes);
    expect(drawn(2)).not.toEqual(planes);
  });

  test('takes operations that are linear in the length, and three times as many in training but for the clusters', () => {
    const operations = (attention: object | string, length: number) =>
      forwardOperations(modelWith(attention), length) - forwardOperations(modelWith('none'), length);
    const heads = 2 * 2;
    // A hash, two moves of the centers and the last assignment; means, scores, results, and each query's.
    const hashes = 2 * 5 * 6 + (2 * 2 + 1) * 2 * 5 * 3;
    const products = 4 * 2 * 3 * 6;
    expect(operations(clustered, 10)).toBe(heads * 10 * (hashes + products));
    expect(operations(clustered, 1000)).toBe(100 * operations(clustered, 10));
    const missing = 3 * forwardOperations(modelWith(clustered), 10) - trainingOperations(modelWith(clustered), 10);
    expect(missing).toBe(heads * 10 * (2 * hashes + products / 2));
  });

  test.each([
    ['causal-language-model', /expected attention that has a causal order, got clustered/],
    ['encoder-decoder', /clustered cannot look at a source/],
  ])('is refused of the family %s, which reads in order', (model, message) => {
    expect(() => modelConfig({ ...sizes, model, attention: 'clustered' })).toThrow(message);
  });

  test('beside attention that can look at a source, it alone is named as what cannot', () => {
    const attention = ['hybrid', 'clustered'];
    const make = () => modelConfig({ ...sizes, depth: 2, model: 'encoder-decoder', attention });
    expect(make).toThrow(/attention: clustered cannot look at a source/);
  });
});

/** Attention layers and the plain Performer at the front door, on typed arrays. */
import { expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import { attention, createModel, crossAttention, fastAttention, selfAttention } from '../../src/index.js';

const numbers = (count: number, seed: number) => Random.fromSeed(seed).normals(count);
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));
const sizes = { dim: 16, heads: 2, attention: { features: { featureCount: 16 } } } as const;

it.each([false, true])('fast attention gives what attention gives, causal %s', async (isCausal) => {
  const [query, key, value] = [numbers(7 * 2 * 8, 1), numbers(7 * 2 * 8, 2), numbers(7 * 2 * 8, 3)];
  const features = { featureCount: 16 };
  const layer = await fastAttention({ heads: 2, headDim: 8, isCausal, features });
  const given = await layer.apply(query, key, value);
  const shape = [1, 7, 2, 8] as const;
  const { projection } = layer.weights.buffers as { readonly projection: { readonly shape: readonly number[] } };
  expect(projection.shape).toEqual([16, 8]);
  expect(given.every(Number.isFinite)).toBe(true);
  const exact = await attention({ query, key, value, shape }, { kind: 'softmax', isCausal });
  const many = await fastAttention({ heads: 2, headDim: 8, isCausal, features: { featureCount: 4096 } });
  expect(largest(await many.apply(query, key, value), exact)).toBeLessThan(0.5);
  expect(largest(await many.apply(query, key, value), exact)).toBeLessThan(largest(given, exact));
  await expect(layer.apply(query.subarray(1), key, value)).rejects.toThrow(/multiple of 16 numbers as query, got 111/);
});

it('self-attention gives a padded row what it gives the row alone, and sees nothing later where it is causal', async () => {
  const rows = numbers(2 * 6 * 16, 4);
  const layer = await selfAttention(sizes);
  const both = await layer.apply({ rows, batch: 2, lengths: [4, 6] });
  const alone = await layer.apply({ rows: rows.subarray(0, 4 * 16) });
  expect(largest(alone, both)).toBeLessThan(2e-5);
  const causal = await selfAttention({ ...sizes, isCausal: true });
  const whole = await causal.apply({ rows: rows.subarray(0, 6 * 16) });
  expect(largest(await causal.apply({ rows: rows.subarray(0, 4 * 16) }), whole)).toBeLessThan(2e-5);
});

it('cross-attention looks at the real rows of its source alone', async () => {
  const [rows, source] = [numbers(3 * 16, 5), numbers(8 * 16, 6)];
  const layer = await crossAttention(sizes);
  const short = await layer.apply(rows, { rows: source.subarray(0, 5 * 16) });
  expect(short).toHaveLength(3 * 16);
  expect(largest(short, await layer.apply(rows, { rows: source, lengths: [5] }))).toBeLessThan(2e-5);
  expect(largest(short, await layer.apply(rows, { rows: source }))).toBeGreaterThan(1e-4);
});

it('a performer turns embeddings into hidden layers, a padded row as the row alone', async () => {
  const model = await createModel({ model: 'performer', dim: 16, depth: 2, heads: 2, headDim: 8, isCausal: true });
  const embeddings = numbers(2 * 6 * 16, 7);
  const both = await model.apply({ embeddings, batch: 2, lengths: [4, 6] });
  expect(both).toHaveLength(2 * 6 * 16);
  const alone = await model.apply({ embeddings: embeddings.subarray(0, 4 * 16) });
  expect(largest(alone, both)).toBeLessThan(2e-5);
  await expect(model.apply({ embeddings: embeddings.subarray(1) })).rejects.toThrow(
    /expected \[1, length, 16\] numbers/,
  );
  await model.dispose();
});

/** Attention layers and the plain Performer at the front door, on typed arrays. */
import { expect, it } from 'vitest';
import { Random } from '../../src/base/index.js';
import { attention, createModel, crossAttention, fastAttention, selfAttention } from '../../src/index.js';

const numbers = (count: number, seed: number) => Random.fromSeed(seed).normals(count);
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));
const oneRow = { query: numbers(64, 1), key: numbers(64, 2), value: numbers(64, 3), shape: [1, 4, 2, 8] as const };
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

it.each([
  ['attention', () => attention(oneRow, { causal: true } as object), 'attention: expected valid options.*"causal"'],
  ['attention', () => attention(oneRow, { kind: 'window' } as object), 'attention: expected valid options.*kind'],
  ['fast attention', () => fastAttention({ headDim: 8 } as never), 'fastAttention: expected valid options.*heads'],
  ['self-attention', () => selfAttention({ ...sizes, causal: true } as never), 'selfAttention: .*"causal"'],
  ['cross-attention', () => crossAttention({ ...sizes, isCausal: true } as never), 'crossAttention: .*"isCausal"'],
  [
    'self-attention',
    () => selfAttention({ dim: 16, heads: 4, keyHeads: 3 }),
    'keyHeads: expected a divisor of heads, 4, got 3',
  ],
  ['self-attention', () => selfAttention({ dim: 16, heads: 3 }), 'headDim: expected heads that divide dim, 16, got 3'],
  [
    'self-attention',
    () => selfAttention({ ...sizes, attention: { forgetting: 'gates' } }),
    'selfAttention: attention.forgetting: expected none',
  ],
])('%s refuses options that it does not have, and those that do not fit', async (_, make, message) => {
  await expect(make()).rejects.toThrow(new RegExp(message));
  await expect(make()).rejects.toMatchObject({ code: 'CONFIG' });
});

it('masks and lengths that do not fit the rows are told by their name', async () => {
  const rows = numbers(4 * 16, 8);
  const layer = await selfAttention(sizes);
  const model = await createModel({ model: 'performer', dim: 16, depth: 1, heads: 2, headDim: 8 });
  for (const lengths of [[5], [-1], [1.5], [4, 4], []]) {
    const message = `expected 1 whole numbers from 0 to 4 as lengths, got [${lengths}]`;
    await expect(layer.apply({ rows, lengths })).rejects.toThrow(message);
    await expect(model.apply({ embeddings: rows, lengths })).rejects.toThrow(message);
  }
  const masked = attention({ ...oneRow, keyMask: [true] }, {});
  await expect(masked).rejects.toThrow('expected a keyMask [batch, keys] of 1 · 4 values, got 1');
  await model.dispose();
});

it('self-attention shares heads of keys, and has no bias behind its output where none is asked for', async () => {
  const rows = numbers(4 * 16, 9);
  const layer = await selfAttention({ dim: 16, heads: 4, keyHeads: 1, outputBias: false, qkvBias: true });
  type Weights = Record<'query' | 'key' | 'output', { weight: { shape: number[] }; bias?: object }>;
  const { query, key, output } = layer.weights.params as Weights;
  expect([query.weight.shape, key.weight.shape]).toEqual([
    [16, 16],
    [16, 4],
  ]);
  expect([key.bias, output.bias].map((bias) => bias !== undefined)).toEqual([true, false]);
  const both = await layer.apply({ rows: [...rows, ...rows], batch: 2, lengths: [3, 4] });
  expect(largest(await layer.apply({ rows: rows.subarray(0, 3 * 16) }), both)).toBeLessThan(2e-5);
});

/** Every form of attention, on every engine, against the definition in float64, at the sizes that models have. */
import { describe, expect, it } from 'vitest';
import { bidirectionalAttention, causalAttention } from '../../src/attention/index.js';
import { type HostTensor, symbol } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import { spec, type Tensor } from '../../src/graph/index.js';
import { type AttentionCase, describeConformance, distance, engines, masks } from '../support/attention-conformance.js';
import { drawAttention, float32Tolerance, maskOf, projectionOf } from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { attentionForms, positiveMap, runOnce } from '../support/attention-run.js';

const cases: readonly AttentionCase[] = [
  ...[4, 64, 128].flatMap((dim) =>
    [0.5, 1, 4].map((std) => ({
      name: `dim ${dim}, std ${std}`,
      dim,
      features: dim === 64 ? 80 : 24,
      std,
      batch: 2,
      heads: 2,
    })),
  ),
  ...Object.entries(masks).flatMap(([name, isVisible]) =>
    [1, 4].map((std) => ({ name: `${name}, std ${std}`, dim: 16, features: 24, std, batch: 3, heads: 2, isVisible })),
  ),
];

describeConformance(cases);

describe('a length that is known when the graph runs', () => {
  const [batch, heads, dim, features] = [2, 2, 8, 16];
  const projection = projectionOf(features, dim);
  const length = symbol('length');
  const type = spec('float32', [batch, length, heads, dim]);
  const args = [
    { projection: spec('float32', [features, dim]) },
    { query: type, key: type, value: type, keyMask: spec('bool', [batch, length]) },
  ] as const;
  type Tokens = { query: Tensor; key: Tensor; value: Tensor; keyMask: Tensor<'bool'> };
  const both = ({ projection: rows }: { projection: Tensor }, tokens: Tokens) => ({
    causal: causalAttention(tokens, positiveFeatures(rows), { chunk: 8 }).output,
    bidirectional: bidirectionalAttention(tokens, positiveFeatures(rows)),
  });

  it.each(engines)('needs one compilation for many lengths on $name', async ({ engine, isFloat64 }) => {
    const executable = await engine.compile(both, args);
    for (const size of [1, 7, 8, 9, 40]) {
      const drawn = drawAttention({ batch, heads, length: size, dim, std: 1 });
      const inputs = { ...drawn, keyMask: maskOf(batch, size, (item, position) => item === 0 || position !== 1) };
      const { causal, bidirectional } = await executable.run([{ projection }, inputs]);
      const tolerance = isFloat64 ? 1e-9 : float32Tolerance(inputs, projection);
      expect(distance(causal, attentionOracle(inputs, { isCausal: true, projection }))).toBeLessThan(tolerance);
      expect(distance(bidirectional, attentionOracle(inputs, { isCausal: false, projection }))).toBeLessThan(tolerance);
    }
    await executable.dispose();
  });
});

describe('keys that lie far below a later one of their chunk', () => {
  // Ten keys of std 4.6, whose features are down to e^−80 of those of the short keys after them.
  const drawn = drawAttention({ batch: 1, heads: 4, length: 32, dim: 64, std: 4.6 });
  const key = { ...drawn.key, data: drawn.key.data.map((x, at) => (at < 10 * 4 * 64 ? x : x / 50)) };
  const inputs = { ...drawn, key };
  const projection = projectionOf(64, 64);

  it.each(engines)('keep their weights in the rows that see nothing else on $name', async ({ engine, isFloat64 }) => {
    for (const form of attentionForms.filter(({ name }) => /^(causal, chunks of 64|bidirectional)$/.test(name))) {
      const got = await form.run(engine, inputs, positiveMap(projection));
      const tolerance = isFloat64 ? 1e-9 : float32Tolerance(inputs, projection);
      expect(distance(got, attentionOracle(inputs, { isCausal: form.isCausal, projection }))).toBeLessThan(tolerance);
    }
  });
});

describe('65,536 tokens of std 4', () => {
  const length = 65_536;
  const inputs = drawAttention({ batch: 1, heads: 1, length, dim: 64, std: 4 });
  const projection = projectionOf(64, 64);
  const rows = [0, 1, 127, 128, 129, 5000, 32_767, 65_535];

  it.each([true, false])('are finite and right (causal: %s)', async (isCausal) => {
    const build = ({ query, key, value, projection: drawn }: Record<string, Tensor>) => {
      const tokens = { query: query!, key: key!, value: value! };
      const map = positiveFeatures(drawn!);
      return { output: isCausal ? causalAttention(tokens, map).output : bidirectionalAttention(tokens, map) };
    };
    const engine = nodeEngine({ threads: 1 });
    const { output: got } = (await runOnce(engine, build as never, { ...inputs, projection } as object)) as {
      output: HostTensor;
    };
    expect((got.data as Float32Array).every(Number.isFinite)).toBe(true);
    const sample = Float32Array.from(
      rows.flatMap((row) => Array.from(got.data.slice(row * 64, (row + 1) * 64), Number)),
    );
    const expected = attentionOracle(inputs, { isCausal, projection, rows });
    // The exponents of 1,024 tokens stand for those of all; 512 chunks one after another add 512·2⁻²⁴ at most.
    const head = drawAttention({ batch: 1, heads: 1, length: 1024, dim: 64, std: 4 });
    const error = distance({ dtype: 'float32', shape: expected.shape, data: sample }, expected);
    expect(error).toBeLessThan(float32Tolerance(head, projection) + 512 * 2 ** -24);
  });
});

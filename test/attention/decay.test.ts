/** Keys that decay: every form of causal attention through features against the definition, at any speed of forgetting. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  bidirectionalAttention,
  causalAttention,
  exactAttention,
  mergeStates,
} from '../../src/attention/index.js';
import type { HostTensor } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import { gradient, spec, sum, type Tensor, trace } from '../../src/graph/index.js';
import { type AttentionCase, describeConformance, distance, masks } from '../support/attention-conformance.js';
import { decayOf, drawAttention, float32Tolerance, projectionOf } from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { attentionForms, runOnce } from '../support/attention-run.js';
import { lossCondition } from '../support/branches.js';

const factors: Readonly<Record<string, NonNullable<AttentionCase['factor']>>> = {
  'a decay of each head': (_, __, head) => 1 - 2 ** (-3 - head),
  'no decay at all': () => 1,
  'a decay that leaves a tenth': () => 0.1,
  'decays of each token': (item, position, head) => 0.3 + 0.07 * ((position * 3 + head + item) % 10),
  'a token that forgets nearly all': (_, position) => (position === 9 ? 1e-30 : 0.99),
};

const cases = Object.entries(factors).flatMap(([name, factor]) => [
  ...[1, 4].map(
    (std): AttentionCase => ({
      ...{ name: `${name}, std ${std}`, dim: 16, features: 24, std, batch: 2, heads: 2, factor },
    }),
  ),
  ...Object.entries(masks).map(
    ([hidden, isVisible]): AttentionCase => ({
      ...{ name: `${name}, ${hidden}`, dim: 16, features: 24, std: 1, batch: 3, heads: 2, factor, isVisible },
    }),
  ),
]);

describe('attention with decays,', () => {
  describeConformance(
    cases,
    attentionForms.filter(({ isCausal, isExact = false }) => isCausal && !isExact),
  );
});

describe('4,096 tokens', () => {
  const sizes = { batch: 1, heads: 1, length: 4096, dim: 16, std: 1 };
  const drawn = drawAttention(sizes);
  const projection = projectionOf(32, sizes.dim);
  const rows = [0, 1, 63, 64, 65, 1000, 4095];

  it.each([
    ['are forgotten to a tenth by each one', () => 0.1],
    ['are not forgotten', () => 1],
    ['are forgotten slowly, and at once by some', (_: number, at: number) => (at % 500 === 499 ? 1e-35 : 0.999)],
  ])('that %s have outputs that are right and finite gradients, without log space', async (_, factor) => {
    const inputs = { ...drawn, logDecay: decayOf(sizes, factor) };
    const build = ({ projection: given, ...tokens }: AttentionInputs & { readonly projection: Tensor }) => {
      const { output } = causalAttention(tokens, positiveFeatures(given));
      const { query, key, value, logDecay } = tokens;
      const gradients = gradient(sum(output), { query, key, value, logDecay: logDecay! });
      return { output, gradients, isLossy: lossCondition(output) };
    };
    const got = (await runOnce(nodeEngine({ threads: 1 }), build as never, { ...inputs, projection })) as never as {
      readonly output: HostTensor;
      readonly gradients: Readonly<Record<string, HostTensor>>;
      readonly isLossy: HostTensor;
    };
    expect(Number(got.isLossy.data[0])).toBe(0);
    const row = (at: number) => Array.from(got.output.data.slice(at * sizes.dim, (at + 1) * sizes.dim), Number);
    const expected = attentionOracle(inputs, { isCausal: true, projection, rows });
    const sample = { dtype: 'float32', shape: expected.shape, data: Float32Array.from(rows.flatMap(row)) } as const;
    // A decay of e^−147 in a chunk of 64 is known to 2⁻²⁴ of its logarithm, or 1e-5.
    expect(distance(sample, expected)).toBeLessThan(float32Tolerance(inputs, projection) + 4e-5);
    for (const [name, { data }] of Object.entries(got.gradients)) {
      expect((data as Float32Array).every(Number.isFinite), name).toBe(true);
    }
  });
});

describe('a decay', () => {
  const tokens = spec('float32', [1, 4, 2, 4]);
  const inputs = { query: tokens, key: tokens, value: tokens, logDecay: spec('float32', [1, 4, 2]) };
  const projection = spec('float32', [8, 4]);
  type Arguments = [AttentionInputs, Tensor];
  const build = (attend: (...given: Arguments) => unknown, given: object = inputs) =>
    trace(attend as never, [given, projection] as never);

  it('is refused by attention that has no order in which it could forget, and by exact attention', () => {
    expect(() => build((given, rows) => bidirectionalAttention(given, positiveFeatures(rows)))).toThrow(
      /bidirectionalAttention: expected no logDecay, got .* Causal attention through a feature map has one/,
    );
    expect(() => build((given) => exactAttention(given, { isCausal: true }))).toThrow(/expected no logDecay/);
  });

  it('of another shape is refused', () => {
    const wrong = { ...inputs, logDecay: spec('float32', [1, 4, 3]) };
    expect(() => build((given, rows) => causalAttention(given, positiveFeatures(rows)), wrong)).toThrow(
      /causalAttention: expected logDecay \[1, 4, 2\], got .*\[1, 4, 3\]/,
    );
  });

  it('of one of two states that are merged is refused', () => {
    expect(() =>
      build(({ logDecay, ...given }, rows) => {
        const map = positiveFeatures(rows);
        return mergeStates(causalAttention({ ...given, logDecay }, map).state, causalAttention(given, map).state);
      }),
    ).toThrow(/mergeStates: expected a logDecay of both states or of none, got one/);
  });
});

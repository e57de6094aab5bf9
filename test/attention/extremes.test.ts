/** Queries, keys and values at the edge of what the feature maps say they are right for, and beyond what exact scores take. */
import { describe, expect, it } from 'vitest';
import { type AttentionInputs, causalAttention, exactAttention } from '../../src/attention/index.js';
import type { HostTensor } from '../../src/base/index.js';
import { gradient, multiply, sum, type Tensor } from '../../src/graph/index.js';
import { engines } from '../support/attention-conformance.js';
import { type DrawnAttention, drawAttention } from '../support/attention-inputs.js';
import { attentionForms, caseLength, runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { labelOf, type MapChoice, mapCase } from '../support/tested-maps.js';

const [batch, heads, dim] = [1, 2, 8];
const forms = ['bidirectional', 'causal, chunks of 7', 'recurrent, token by token'].map(
  (name) => attentionForms.find((form) => form.name === name)!,
);

/** Queries and keys of a largest norm. */
function ofNorm(norm: number): DrawnAttention {
  const drawn = drawAttention({ batch, heads, length: caseLength, dim, std: 1 });
  const scaled = (x: HostTensor) => {
    const norms = Array.from({ length: x.data.length / dim }, (_, row) =>
      Math.hypot(...x.data.subarray(row * dim, (row + 1) * dim)),
    );
    const factor = norm / Math.max(...norms);
    return { ...x, data: x.data.map((value) => value * factor) };
  };
  return { ...drawn, query: scaled(drawn.query), key: scaled(drawn.key) };
}

/** The largest norms of rows that the docstrings of maps promise a mean of values for. */
const edges: readonly { readonly choice: MapChoice; readonly norm: number }[] = [
  ...(['positive', 'hyperbolic', 'exponential', 'oprf', 'sderf', 'aderf', 'hedgehog'] as const).map((name) => ({
    choice: { name },
    norm: 1e18,
  })),
  ...(['relu', 'elu', 'softplus', 'abs'] as const).map((name) => ({ choice: { name }, norm: 1e15 })),
  ...(['sigmoid', 'step'] as const).map((name) => ({ choice: { name }, norm: 1e18 })),
  { choice: { name: 'square' }, norm: 1e7 },
  { choice: { name: 'taylor' }, norm: 1e7 },
];

describe.each(edges.map((edge) => ({ ...edge, label: labelOf(edge.choice) })))(
  '$label features of rows of norm $norm',
  ({ choice, norm }) => {
    const map = mapCase(choice, dim, heads, 12);
    const inputs = ofNorm(norm);

    it.each(engines)('give every row a mean of the values it sees, on $name', async ({ engine }) => {
      // Of values of 1 every mean is 1, and of values of 1 and 2 none is 0 or beyond 2.
      for (const top of [1, 2]) {
        const data = inputs.value.data.map((_, at) => 1 + ((at % 3) * (top - 1)) / 2);
        for (const form of forms) {
          const { data: got } = await form.run(engine, { ...inputs, value: { ...inputs.value, data } }, map);
          for (const value of got) {
            expect(Number(value), form.name).toBeGreaterThan(1 - 1e-4);
            expect(Number(value), form.name).toBeLessThan(top + 1e-4);
          }
        }
      }
    });
  },
);

describe.each(['polynomial', 'trigonometric', 'gelu', 'identity', 'tanh', 'cos'] as const)('%s features', (name) => {
  const norm = { polynomial: 1e7, trigonometric: 1e18, gelu: 1e15, identity: 1e15, tanh: 1e15, cos: 1e15 }[name];
  const map = mapCase({ name }, dim, heads, 12);

  it.each(engines)(`of rows of norm ${norm} give numbers on $name`, async ({ engine }) => {
    for (const form of forms) {
      const { data } = await form.run(engine, ofNorm(norm), map);
      expect(Array.from(data as Float32Array).every(Number.isFinite), form.name).toBe(true);
    }
  });
});

describe('rows that no float32 can square', () => {
  it.each(engines.slice(1))('are NaN with positive features, and not zeros, on $name', async ({ engine }) => {
    for (const form of forms) {
      const { data } = await form.run(engine, ofNorm(1e21), mapCase({ name: 'positive' }, dim, heads, 12));
      expect(Array.from(data as Float32Array).every(Number.isNaN), form.name).toBe(true);
    }
  });
});

describe.each([1e15, 1e18])('exact causal attention at std %d', (std) => {
  const inputs = drawAttention({ batch, heads, length: caseLength, dim, std });
  const attend = (tokens: AttentionInputs) => exactAttention(tokens, { isCausal: true });

  it.each(engines)('gives later values no weight, whatever the scores, on $name', async ({ engine }) => {
    const half = 10;
    const huge = inputs.value.data.map((value, at) => (at < half * heads * dim ? value : 3e38));
    const run = async (value: HostTensor) =>
      ((await runOnce(engine, attend as never, { ...inputs, value } as object)) as { output: HostTensor }).output.data;
    const [before, after] = [await run(inputs.value), await run({ ...inputs.value, data: huge })];
    expect(after.slice(0, half * heads * dim)).toEqual(before.slice(0, half * heads * dim));
    const first = Array.from(before.slice(0, heads * dim) as Float32Array);
    expect(first, 'the first row sees its own value alone').toEqual(
      Array.from(inputs.value.data.slice(0, heads * dim)),
    );
  });
});

describe('one later key that outweighs all', () => {
  const map = mapCase({ name: 'trigonometric' }, dim, heads, 12);
  const inputs = drawAttention({ batch, heads, length: caseLength, dim, std: 1 });
  const at = 12;
  const from = at * heads * dim;
  const withKey = (size: number) => ({
    ...inputs.key,
    data: inputs.key.data.map((value, index) => (index >= from && index < from + heads * dim ? value * size : value)),
  });
  const lossWeight = normal('loss', [batch, caseLength, heads, dim]);
  const earlier = { ...lossWeight, data: lossWeight.data.map((value, index) => (index < from ? value : 0)) };
  type Arguments = AttentionInputs & { readonly parts: never; readonly lossWeight: Tensor };
  const build = ({ parts, lossWeight: weight, ...tokens }: Arguments) => {
    const { output } = causalAttention(tokens, map.build(parts), { chunk: 64 });
    const { query, key, value } = tokens;
    return { output, ...gradient(sum(multiply(output, weight)), { query, key, value }) };
  };

  it.each(engines)('leaves outputs before it and their gradients as they were, on $name', async ({ engine }) => {
    const run = async (size: number) =>
      (await runOnce(
        engine,
        build as never,
        {
          ...inputs,
          key: withKey(size),
          parts: map.parts,
          lossWeight: earlier,
        } as object,
      )) as Record<string, HostTensor>;
    const [expected, got] = [await run(1), await run(40)];
    for (const name of ['output', 'query', 'key', 'value']) {
      expect(got[name]!.data.slice(0, from), name).toEqual(expected[name]!.data.slice(0, from));
    }
    expect(Array.from(expected.key!.data.slice(0, from) as Float32Array).some((value) => value !== 0)).toBe(true);
  });
});

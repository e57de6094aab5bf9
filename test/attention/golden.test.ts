/** Agreement with performer-pytorch 1.1.4 on inputs that it was run on (see test/golden/README.md). */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  bidirectionalAttention,
  causalAttention,
  exactAttention,
  recurrentAttention,
} from '../../src/attention/index.js';
import { type AnyHostTensor, type HostTensor, PerformerError } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import { cutLength, drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { emptyState, runOnce } from '../support/attention-run.js';

type Nested = readonly (readonly (readonly (readonly number[])[])[])[];

interface GoldenCase {
  readonly shape: Readonly<Record<'batch' | 'heads' | 'length' | 'dim' | 'features', number>>;
  readonly query: Nested;
  readonly key: Nested;
  readonly value: Nested;
  readonly projection: readonly (readonly number[])[];
  readonly expected: Readonly<Record<string, Nested>>;
}

const path = new URL('../golden/performer-pytorch-attention.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(path, 'utf8')) as { cases: readonly GoldenCase[] };

/** [batch][heads][length][dim] → our [batch, length, heads, dim], kept in float64. */
function ours(nested: Nested): HostTensor<'float64'> {
  const [heads, length, dim] = [nested[0]!.length, nested[0]![0]!.length, nested[0]![0]![0]!.length];
  const data = nested.flatMap((item) =>
    Array.from({ length }, (_, at) => item.flatMap((head) => head[at] as number[])).flat(),
  );
  return { dtype: 'float64', shape: [nested.length, length, heads, dim], data: Float64Array.from(data) };
}

type Attend = (inputs: AttentionInputs, projection: Tensor) => Tensor;
const expectations: Readonly<Record<string, Attend>> = {
  softmax_eps0_bidirectional: (inputs, rows) => bidirectionalAttention(inputs, positiveFeatures(rows)),
  softmax_eps0_causal: (inputs, rows) => causalAttention(inputs, positiveFeatures(rows), { chunk: 5 }).output,
  'softmax_eps0.0001_bidirectional': (inputs, rows) =>
    bidirectionalAttention(inputs, positiveFeatures(rows, { epsilon: 1e-4 })),
  exact_softmax_bidirectional: (inputs) => exactAttention(inputs, { isCausal: false }).output,
  exact_softmax_causal: (inputs) => exactAttention(inputs, { isCausal: true }).output,
};

describe.each(Object.entries(expectations))('%s', (name, attend) => {
  it.each(cases)('is what performer-pytorch gives for $shape', async ({ shape, projection, expected, ...tokens }) => {
    const inputs = {
      query: ours(tokens.query),
      key: ours(tokens.key),
      value: ours(tokens.value),
      projection: {
        dtype: 'float64',
        shape: [shape.features, shape.dim],
        data: Float64Array.from(projection.flat()),
      } as AnyHostTensor as HostTensor,
    };
    const build = ({ projection: rows, ...rest }: AttentionInputs & { projection: Tensor }) => ({
      output: attend(rest, rows),
    });
    const target = ours(expected[name]!);
    for (const [engine, tolerance] of [
      [referenceEngine(), 1e-9],
      [nodeEngine({ threads: 1 }), 1e-5],
    ] as const) {
      const { output } = (await runOnce(engine, build as never, inputs)) as { output: HostTensor };
      expect(output.shape).toEqual(target.shape);
      target.data.forEach((value, at) => {
        expect(Math.abs(Number(output.data[at]) - value)).toBeLessThan(tolerance);
      });
    }
  });
});

describe('an epsilon on the features', () => {
  const sizes = { batch: 1, heads: 1, dim: 4, std: 1 };
  const projection = projectionOf(6, 4);
  const map = (rows: Tensor) => positiveFeatures(rows, { epsilon: 1e-4 });

  it('takes its maximum over the keys that are seen', async () => {
    const { query, key, value } = drawAttention({ ...sizes, length: 5 });
    const far = { ...key, data: key.data.slice() };
    projection.data.subarray(0, 4).forEach((entry, at) => {
      far.data[4 * 4 + at] = 50 * entry;
    });
    const keyMask = maskOf(1, 5, (_, position) => position < 4);
    const outputOf = (inputs: object) =>
      runOnce(
        referenceEngine(),
        (({ projection: rows, ...given }: AttentionInputs & { projection: Tensor }) => ({
          output: bidirectionalAttention(given, map(rows)),
        })) as never,
        { ...inputs, projection },
      ) as Promise<{ output: HostTensor }>;
    const masked = await outputOf({ query, key: far, value, keyMask });
    const without = await outputOf({ query, key: cutLength(key, 0, 4), value: cutLength(value, 0, 4) });
    masked.output.data.forEach((entry, at) => {
      expect(Number(entry)).toBeCloseTo(Number(without.output.data[at]), 12);
    });
  });

  it('is refused by causal and by recurrent attention, where it would carry later tokens into earlier outputs', async () => {
    const attempts = [
      runOnce(
        referenceEngine(),
        (({ projection: rows, ...inputs }: AttentionInputs & { projection: Tensor }) =>
          causalAttention(inputs, map(rows))) as never,
        { ...drawAttention({ ...sizes, length: 8 }), projection },
      ),
      runOnce(
        referenceEngine(),
        (({ projection: rows, state, ...inputs }: AttentionInputs & { projection: Tensor; state: never }) =>
          recurrentAttention(inputs, map(rows), state)) as never,
        { ...drawAttention({ ...sizes, length: 1 }), projection, state: emptyState(1, 1, 6, 4) },
      ),
    ];
    for (const attempt of attempts) {
      await expect(attempt).rejects.toSatisfy(
        (cause) => cause instanceof PerformerError && cause.code === 'CONFIG' && cause.message.includes('epsilon 0'),
      );
    }
  });
});

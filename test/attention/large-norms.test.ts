/** Queries and keys whose weights float32 cannot hold: computed in log space, and only then. */
import { describe, expect, it } from 'vitest';
import { type AttentionInputs, bidirectionalAttention, causalAttention } from '../../src/attention/index.js';
import { float32, type HostTensor } from '../../src/base/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { exponentialMap, hyperbolicFeatures, positiveFeatures } from '../../src/features/index.js';
import { gradient, square, sum, type Tensor } from '../../src/graph/index.js';
import { describeConformance, distance, engines, masks } from '../support/attention-conformance.js';
import {
  cutLength,
  type DrawnAttention,
  drawAttention,
  float32Tolerance,
  joinLength,
  projectionOf,
} from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { positiveMap, runOnce, stream } from '../support/attention-run.js';
import { lossCondition } from '../support/branches.js';

describeConformance([
  ...[8, 32, 64, 128, 256].flatMap((dim) =>
    (dim === 8 || dim === 64 ? [6, 8] : [8]).map((std) => ({
      name: `dim ${dim}, std ${std}`,
      dim,
      features: 24,
      std,
      batch: 1,
      heads: 2,
    })),
  ),
  ...Object.entries(masks).map(([name, isVisible]) => ({
    name: `${name}, std 8`,
    dim: 16,
    features: 24,
    std: 8,
    batch: 3,
    heads: 1,
    isVisible,
  })),
]);

type Arguments = AttentionInputs & { readonly projection: Tensor };
const attend = {
  causal: ({ projection, ...tokens }: Arguments) => causalAttention(tokens, positiveFeatures(projection)).output,
  bidirectional: ({ projection, ...tokens }: Arguments) => bidirectionalAttention(tokens, positiveFeatures(projection)),
};
const forms = Object.keys(attend) as (keyof typeof attend)[];

/** One head of 300 tokens, and a projection. */
function drawn(dim: number, std: number) {
  return { ...drawAttention({ batch: 1, heads: 1, length: 300, dim, std }), projection: projectionOf(64, dim) };
}

async function run(engine: Engine, build: (inputs: Arguments) => object, inputs: object) {
  return (await runOnce(engine, build as never, inputs)) as Record<string, HostTensor>;
}

async function isLossy(engine: Engine, form: keyof typeof attend, inputs: object): Promise<boolean> {
  const { lossy } = await run(engine, (given) => ({ lossy: lossCondition(attend[form](given)) }), inputs);
  return Number(lossy!.data[0]) === 1;
}

describe.each(forms)('%s attention', (form) => {
  it.each(engines)('takes the fast branch up to std 4 and the other one at std 8, on $name', async ({ engine }) => {
    for (const std of [1, 2, 4]) expect(await isLossy(engine, form, drawn(64, std)), `std ${std}`).toBe(false);
    expect(await isLossy(engine, form, drawn(256, 8))).toBe(true);
  });

  it.each([8, 64, 256])('of dim %i at std 8 is finite and right in every row', async (dim) => {
    const { projection, ...inputs } = drawn(dim, 8);
    const engine = nodeEngine({ threads: 1 });
    const { output } = await run(engine, (given) => ({ output: attend[form](given) }), { ...inputs, projection });
    const expected = attentionOracle(inputs, { isCausal: form === 'causal', projection });
    expect(distance(output!, expected)).toBeLessThan(float32Tolerance(inputs, projection));
  });

  it('is right where a numerator overflows, which takes the other branch', async () => {
    const { projection, ...inputs } = drawn(16, 1);
    const engine = nodeEngine({ threads: 1 });
    const data = inputs.value.data.map((value) => value * 1e22);
    const huge: DrawnAttention = { ...inputs, value: { ...inputs.value, data } };
    expect(await isLossy(engine, form, { ...huge, projection })).toBe(true);
    const { output } = await run(engine, (given) => ({ output: attend[form](given) }), { ...huge, projection });
    const expected = attentionOracle(huge, { isCausal: form === 'causal', projection });
    expect(distance(output!, expected) / 1e22).toBeLessThan(float32Tolerance(inputs, projection));
  });
});

describe('bidirectional attention at any norm', () => {
  it.each([
    [8, 30],
    [64, 30],
    [256, 30],
    [64, 1000],
  ])(
    'of dim %i and std %i is never NaN: outputs and gradients are finite, and no row is without its weights',
    async (dim, std) => {
      const build = (given: Arguments) => {
        const output = attend.bidirectional(given);
        const { query, key, value } = given;
        return { output, ...gradient(sum(square(output)), { query, key, value }) };
      };
      // Values of 1 give outputs of 1, whatever the weights.
      const { value, ...inputs } = drawn(dim, std);
      const ones = { ...value, data: value.data.map(() => 1) };
      const found = await run(nodeEngine({ threads: 1 }), build, { ...inputs, value: ones });
      for (const output of found.output!.data) expect(Math.abs(Number(output) - 1)).toBeLessThan(1e-4);
      const drawnValues = await run(nodeEngine({ threads: 1 }), build, { ...inputs, value });
      for (const [name, { data }] of Object.entries(drawnValues)) {
        expect(
          data.findIndex((entry) => !Number.isFinite(entry)),
          name,
        ).toBe(-1);
      }
    },
  );
});

describe.each(Object.entries({ hyperbolicFeatures, exponentialMap: (rows: Tensor) => exponentialMap(16, rows) }))(
  'with %s at std 8',
  (_, map) => {
    it.each([true, false])('ONNX Runtime computes what the oracle does (causal: %s)', async (isCausal) => {
      const { projection, ...inputs } = drawn(16, 8);
      const build = ({ projection: rows, ...tokens }: Arguments) => ({
        output: isCausal ? causalAttention(tokens, map(rows)).output : bidirectionalAttention(tokens, map(rows)),
      });
      const [expected, got] = await Promise.all(
        [referenceEngine(), nodeEngine({ threads: 1 })].map((engine) => run(engine, build, { ...inputs, projection })),
      );
      const error = distance(got!.output!, expected!.output!);
      expect(error).toBeLessThan(float32Tolerance(inputs, projection));
    });
  },
);

describe('the state', () => {
  // Tokens alike, of features that differ by e^120: their own rows lose nothing, the state would at one scale per head.
  const [dim, features, length] = [16, 32, 9];
  const projection = projectionOf(features, dim);
  const norm = Math.hypot(...projection.data.slice(0, dim));
  const along = (factor: number) => Float32Array.from(projection.data.slice(0, dim), (w) => (w * factor) / norm);
  const tokens = (rows: readonly Float32Array[]) =>
    float32(
      [1, rows.length, 1, dim],
      rows.flatMap((row) => [...row]),
    );
  const repeated = (factor: number) => Array.from({ length: length - 1 }, (_, at) => along(factor + at / 10));
  const inputs: DrawnAttention = {
    query: tokens([...repeated(24), along(-24)]),
    key: tokens([...repeated(24), along(60)]), // the last key lies far below the others
    value: drawAttention({ batch: 1, heads: 1, length, dim, std: 1 }).value,
  };

  it.each(engines)('answers a query that is unlike all that came before, on $name', async ({ engine, isFloat64 }) => {
    const prefill = { query: cutLength(inputs.query, 0, length - 1), key: cutLength(inputs.key, 0, length - 1) };
    const given = { ...prefill, value: cutLength(inputs.value, 0, length - 1), projection };
    expect(await isLossy(engine, 'causal', given), 'the outputs of the tokens before lose nothing').toBe(false);
    const expected = attentionOracle(inputs, { isCausal: true, projection });
    for (const next of [{ chunk: 4 }, 'recurrent'] as const) {
      const before = await stream(engine, inputs, positiveMap(projection), [length - 1], { chunk: 16 });
      const after = await stream(engine, inputs, positiveMap(projection), [length], next, {
        at: length - 1,
        state: before.state,
      });
      const output = joinLength([before.output, after.output]);
      expect(distance(output, expected)).toBeLessThan(isFloat64 ? 1e-9 : float32Tolerance(inputs, projection));
    }
  });
});

/** Clustered attention against its definition in float64. */
import { describe, expect, it, test } from 'vitest';
import { type AttentionInputs, clusteredAttention, exactAttention } from '../../src/attention/index.js';
import { type AnyHostTensor, type HostTensor, symbol } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import * as g from '../../src/graph/index.js';
import { cutLength, type DrawnAttention, drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { cutInputs, runOnce, streamSpecs } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { clusteredOracle } from '../support/clustered-oracle.js';
import { largestError, values } from '../support/compare.js';
import { some } from '../support/product.js';

const oracle = referenceEngine();
const engines = [
  { name: 'the oracle', engine: oracle, tolerance: 1e-9 },
  { name: 'ONNX Runtime', engine: nodeEngine({ threads: 1 }), tolerance: 1e-4 },
];
const [batch, length, heads, dim] = [2, 75, 4, 6];
const planes = projectionOf(9, dim);
const iterations = 3;
const whole = drawAttention({ batch, heads, length, dim, std: 1.5 });
/** The second text has hidden keys among the others and behind them. */
const keyMask = maskOf(batch, length, (item, at) => item === 0 || (at % 7 !== 3 && at < 50));
const twoKeyHeads = { key: normal('key', [batch, length, 2, dim]), value: normal('value', [batch, length, 2, dim]) };
const inputs: Readonly<Record<string, DrawnAttention>> = {
  'of whole texts': whole,
  'of texts with hidden tokens': { ...whole, keyMask },
  'of a text without a token': { ...whole, keyMask: maskOf(batch, length, (item) => item === 0) },
  'with two key heads': { ...whole, ...twoKeyHeads, keyMask },
  'to keys of another text': { ...whole, query: normal('other', [batch, 40, heads, dim]), keyMask },
};
const options = [
  { clusters: 1, topK: 0 },
  { clusters: 5, topK: 0 },
  { clusters: 90, topK: 0 },
  { clusters: 1, topK: 4 },
  { clusters: 5, topK: 30 },
  { clusters: 90, topK: 4 },
  { clusters: 6, topK: 100 },
];
const cases = Object.entries(inputs).flatMap(([what, given], turn) =>
  some(options, turn).map((own) => ({ what, given, ...own })),
);

type Given = AttentionInputs & { readonly planes: g.Tensor };

/** Zeros for the queries of hidden tokens, whose outputs mean nothing. */
function real(output: AnyHostTensor, given: DrawnAttention): AnyHostTensor {
  const { keyMask: mask } = given;
  if (mask === undefined || given.query.shape[1] !== mask.shape[1]) return output;
  const data = Float64Array.from(values(output), (value, at) =>
    mask.data[Math.floor(at / (heads * dim))] ? value : 0,
  );
  return { dtype: 'float64', shape: output.shape, data };
}

async function outputOf(engine: typeof oracle, given: DrawnAttention, own: { clusters: number; topK?: number }) {
  const build = ({ planes: normals, ...tokens }: Given) => ({
    output: clusteredAttention(tokens, { ...own, iterations, planes: normals }),
  });
  const result = await runOnce(engine, build as never, { ...given, planes });
  return (result as unknown as { output: HostTensor }).output;
}

describe.each(cases)('$clusters clusters with $topK top keys, $what', ({ given, ...own }) => {
  it.each(engines)('are what their definition says on $name', async ({ engine, tolerance }) => {
    const expected = clusteredOracle(given, { ...own, iterations, planes });
    expect(largestError(real(await outputOf(engine, given, own), given), expected)).toBeLessThan(tolerance);
  });
});

describe('gradients of clustered attention', () => {
  const loss = normal('loss', [batch, length, heads, dim]);
  const lossOf = (own: { clusters: number; topK: number }, { planes: normals, loss: weight, ...tokens }: Weighed) =>
    g.sum(g.multiply(clusteredAttention(tokens, { ...own, iterations, planes: normals }), weight));
  type Weighed = Given & { readonly loss: g.Tensor };
  const names = ['query', 'key', 'value'] as const;

  it.each([
    { clusters: 5, topK: 0 },
    { clusters: 5, topK: 12 },
    { clusters: 90, topK: 3 },
    { clusters: 3, topK: 100 },
  ])('are those of finite differences: $clusters clusters, $topK top keys', async (own) => {
    const shown = maskOf(batch, length, (item, at) => item === 0 || at < 50);
    const given = { ...whole, ...twoKeyHeads, keyMask: shown, planes, loss: { ...loss, data: loss.data.slice() } };
    for (let at = 0; at < loss.data.length; at++) {
      if (!shown.data[Math.floor(at / (heads * dim))]) given.loss.data[at] = 0; // outputs that mean nothing
    }
    const build = (tensors: Weighed) => {
      const { query, key, value } = tensors;
      return g.gradient(lossOf(own, tensors), { query, key, value });
    };
    const exact = (await runOnce(oracle, build as never, given)) as unknown as Record<string, HostTensor>;
    const fast = (await runOnce(engines[1]!.engine, build as never, given)) as unknown as Record<string, HostTensor>;
    for (const name of names) {
      expect(largestError(fast[name]!, exact[name]!), name).toBeLessThan(1e-4);
      const gradient = values(exact[name]!);
      for (const at of [0, 1, 2, 3].map((part) => Math.floor(((part + 0.4) / 4) * gradient.length))) {
        const lossAt = async (step: number) => {
          const data = Float64Array.from(given[name].data);
          data[at]! += step;
          const moved = { ...given, [name]: { dtype: 'float64', shape: given[name].shape, data } };
          const result = await runOnce(oracle, ((x: Weighed) => ({ loss: lossOf(own, x) })) as never, moved);
          return values((result as unknown as { loss: HostTensor }).loss)[0]!;
        };
        const difference = ((await lossAt(1e-5)) - (await lossAt(-1e-5))) / 2e-5;
        expect(Math.abs(gradient[at]! - difference), `${name} ${at}`).toBeLessThan(1e-6);
      }
      expect(Math.max(...gradient.map(Math.abs)), name).toBeGreaterThan(1e-2);
    }
  });
});

describe('clustered attention', () => {
  it.each(engines)('gives a padded text what it gives the text alone on $name', async ({ engine, tolerance }) => {
    const padded = { ...whole, keyMask: maskOf(batch, length, (item, at) => item === 0 || at < 50) };
    const own = { clusters: 7, topK: 9 };
    const both = cutLength(await outputOf(engine, padded, own), 0, 50);
    const alone = await outputOf(engine, cutInputs(whole, 0, 50), own);
    const second = (x: HostTensor) => values(x).slice(x.data.length / 2);
    const errors = second(both).map((value, at) => Math.abs(value - second(alone)[at]!));
    expect(Math.max(...errors)).toBeLessThan(tolerance);
  });

  it.each(engines)('hides what hidden tokens hold, be it no number, on $name', async ({ engine }) => {
    const mask = maskOf(batch, length, (_, at) => at % 5 !== 2);
    const spoilt = Object.fromEntries(
      (['query', 'key', 'value'] as const).map((name) => {
        const { shape, data } = whole[name];
        const isHidden = (at: number) => !mask.data[Math.floor(at / (heads * dim))];
        return [name, { dtype: 'float32', shape, data: data.map((value, at) => (isHidden(at) ? Number.NaN : value)) }];
      }),
    ) as unknown as DrawnAttention;
    const [given, other] = [
      { ...whole, keyMask: mask },
      { ...spoilt, keyMask: mask },
    ];
    const own = { clusters: 6, topK: 5 };
    const [output, expected] = [await outputOf(engine, other, own), await outputOf(engine, given, own)];
    expect(values(real(output, other))).toEqual(values(real(expected, given)));
  });

  it.each(engines)('is exact where top keys are all keys, on $name', async ({ engine, tolerance }) => {
    const build = (tokens: AttentionInputs) => ({ output: exactAttention(tokens, { isCausal: false }).output });
    const expected = (await runOnce(oracle, build as never, whole)) as unknown as { output: HostTensor };
    const output = await outputOf(engine, whole, { clusters: 4, topK: length });
    expect(largestError(output, expected.output)).toBeLessThan(tolerance);
    const clusters = await outputOf(engine, whole, { clusters: 4, topK: 0 });
    expect(largestError(clusters, expected.output)).toBeGreaterThan(0.1);
  });

  it.each(engines)('reads texts of any length from one graph on $name', async ({ engine, tolerance }) => {
    const own = { clusters: 4, topK: 20 };
    const build = ({ planes: normals }: { planes: g.Tensor }, tokens: AttentionInputs) => ({
      output: clusteredAttention(tokens, { ...own, iterations, planes: normals }),
    });
    const specs = [g.specsOf({ planes }), streamSpecs(whole, symbol('length'))];
    const compiled = await engine.compile(build as never, specs as never);
    for (const count of [1, 19, 20, 21, length]) {
      const given = cutInputs(whole, 0, count);
      const { output } = (await compiled.run([{ planes }, given] as never)) as unknown as { output: HostTensor };
      const expected = clusteredOracle(given, { ...own, iterations, planes });
      expect(largestError(output, expected), `${count}`).toBeLessThan(tolerance);
    }
    await compiled.dispose();
  });

  test('holds nothing that grows with the square of the length, in its gradient neither', () => {
    const tokens = 1009;
    const type = g.spec('float32', [1, tokens, 1, 4]);
    const { graph } = g.trace(
      (({ planes: normals, ...given }: Given) => {
        const { query, key, value } = given;
        const output = clusteredAttention(given, { clusters: 3, topK: 5, iterations: 1, planes: normals });
        return g.gradient(g.sum(g.square(output)), { query, key, value });
      }) as never,
      [{ query: type, key: type, value: type, planes: g.spec('float32', [9, 4]) }] as never,
    );
    const sizes = [
      ...g
        .printGraph(Object.fromEntries(graph.outputs.map(({ name, tensor }) => [name, tensor])))
        .matchAll(/\[([\d, ]+)\]/g),
    ].map(([, shape]) => shape!.split(',').reduce((product, size) => product * Number(size), 1));
    expect(sizes.length).toBeGreaterThan(50);
    expect(Math.max(...sizes)).toBeLessThan(32 * tokens);
  });
});

/**
 * Nothing that comes later reaches an earlier output: bit for bit across chunks, and within one chunk up to the rounding
 * of float32, which a shared stabiliser may shift.
 */
import { describe, expect, it } from 'vitest';
import { type AttentionInputs, causalAttention } from '../../src/attention/index.js';
import type { HostTensor } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { type DrawnAttention, drawAttention, float32Tolerance, projectionOf } from '../support/attention-inputs.js';
import { runOnce } from '../support/attention-run.js';
import { lossCondition } from '../support/branches.js';

const engine = nodeEngine({ threads: 1 });
const [batch, heads, length, dim, features, chunk] = [1, 2, 256, 16, 64, 64];
const projection = projectionOf(features, dim);
type Attend = (inputs: AttentionInputs & { projection: Tensor }) => { output: Tensor };

const ours: Attend = ({ projection: rows, ...inputs }) => causalAttention(inputs, positiveFeatures(rows), { chunk });

/** What the public codes do: ONE maximum of the keys' features over the whole sequence, then an epsilon on each. */
const sequenceWide: Attend = ({ projection: rows, query, key, value }) => {
  const swap = (x: Tensor) => g.transpose(x, [0, 2, 1, 3]);
  const featuresOf = (x: Tensor, axes: readonly number[]) => {
    const scaled = g.multiply(swap(x), dim ** -0.25);
    const u = g.matmul(scaled, rows, { transposeRight: true });
    const halfNorm = g.multiply(g.sum(g.square(scaled), -1, true), 0.5);
    return g.add(g.exp(g.subtract(g.subtract(u, halfNorm), g.max(u, axes, true))), 1e-4);
  };
  const lower = Array.from({ length: length * length }, (_, at) => Number(at % length <= Math.floor(at / length)));
  const products = g.matmul(featuresOf(query, [-1]), featuresOf(key, [-2, -1]), { transposeRight: true });
  const weights = g.multiply(products, g.constant('float32', [length, length], lower));
  return { output: swap(g.divide(g.matmul(weights, swap(value)), g.sum(weights, -1, true))) };
};

async function outputOf(attend: Attend, inputs: DrawnAttention): Promise<HostTensor> {
  return ((await runOnce(engine, attend as never, { ...inputs, projection })) as { output: HostTensor }).output;
}

/** The inputs with token `at` of one of them replaced, in every head. */
function replaceToken(inputs: DrawnAttention, name: 'query' | 'key' | 'value', at: number, token: ArrayLike<number>) {
  const data = inputs[name].data.slice();
  for (let head = 0; head < heads; head++) data.set(Array.from(token), (at * heads + head) * dim);
  return { ...inputs, [name]: { ...inputs[name], data } };
}

/** The largest change of an output at the positions from `start` to `end`. */
function change(before: HostTensor, after: HostTensor, start: number, end: number): number {
  let top = 0;
  for (let i = start * heads * dim; i < end * heads * dim; i++) {
    const difference = Math.abs(Number(after.data[i]) - Number(before.data[i]));
    top = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(top, difference);
  }
  return top;
}

/** Tokens that move a stabiliser: huge, of no length at all, and along a row of Ω, where the features are largest. */
const outliers: Readonly<Record<string, Float64Array>> = {
  'a token ten times as large': Float64Array.from({ length: dim }, (_, i) => (i % 2 === 0 ? 10 : -10)),
  'a token of zeros': new Float64Array(dim),
  'a token along a row of the projection': Float64Array.from(projection.data.slice(0, dim), (w) => w * dim ** 0.25),
};

describe.each([0.5, 4, 8])('queries and keys of std %d', (std) => {
  const inputs = drawAttention({ batch, heads, length, dim, std });
  // At std 4 a row may give a token hardly any weight, at std 8 none that float32 can show.
  const visible = { 0.5: 1e-3, 4: 0, 8: -1 }[std]!;

  for (const [outlier, token] of Object.entries(outliers)) {
    it.each(['query', 'key', 'value'] as const)(
      `${outlier} as a later %s leaves earlier outputs unchanged`,
      async (name) => {
        const before = await outputOf(ours, inputs);
        for (const at of [length - 1, 100]) {
          const after = await outputOf(ours, replaceToken(inputs, name, at, token));
          const chunkStart = Math.floor(at / chunk) * chunk;
          expect(change(before, after, 0, chunkStart)).toBe(0);
          expect(change(before, after, chunkStart, at)).toBeLessThan(float32Tolerance(inputs, projection));
          expect(change(before, after, at, length), 'what comes from there on does change').toBeGreaterThan(visible);
        }
      },
    );
  }
});

it('a later token that changes the branch changes earlier outputs by rounding alone', async () => {
  const inputs = drawAttention({ batch, heads, length, dim, std: 0.5 });
  const huge = replaceToken(inputs, 'value', length - 1, new Float32Array(dim).fill(1e25));
  const both: Attend = (given) => {
    const { output } = ours(given);
    return { output, lossy: lossCondition(output) };
  };
  const run = async (given: DrawnAttention) =>
    (await runOnce(engine, both as never, { ...given, projection })) as { output: HostTensor; lossy: HostTensor };
  const [before, after] = [await run(inputs), await run(huge)];
  expect([before, after].map(({ lossy }) => Number(lossy.data[0]))).toEqual([0, 1]);
  const changed = change(before.output, after.output, 0, length - 1);
  expect(changed).toBeLessThan(float32Tolerance(inputs, projection));
  expect(changed, 'the branches round differently').toBeGreaterThan(0);
});

describe('the test has teeth', () => {
  it('a key maximum over the sequence with an epsilon carries the last key into earlier outputs', async () => {
    const inputs = drawAttention({ batch, heads, length, dim, std: 0.5 });
    const changed = replaceToken(inputs, 'key', length - 1, outliers['a token ten times as large']!);
    const before = await outputOf(sequenceWide, inputs);
    const leaked = change(before, await outputOf(sequenceWide, changed), 0, length - 1);
    expect(leaked).toBeGreaterThan(0.01);
    const own = change(await outputOf(ours, inputs), await outputOf(ours, changed), 0, length - 1);
    expect(own).toBeLessThan(leaked / 1e4);
  });
});

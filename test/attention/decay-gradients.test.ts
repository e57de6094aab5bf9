/** The gradients of causal attention whose keys decay, those of the decays among them, against ordinary differentiation. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  type AttentionState,
  causalAttention,
  causalTerms,
  divideTerms,
  exactTerms,
  recurrentAttention,
} from '../../src/attention/index.js';
import type { HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { positiveFeatures } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { cutLength, decayOf, drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { cutInputs, positiveMap, runOnce, stream } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [batch, length, heads, keyHeads, dim, features] = [2, 11, 4, 2, 6, 10];
const projection = projectionOf(features, dim);
const lossWeight = normal('loss', [batch, length, heads, dim]);

interface Arguments extends AttentionInputs {
  readonly projection: Tensor;
  readonly lossWeight: Tensor;
  readonly state?: AttentionState;
  /** Tokens before these, for the composition, which has no state. */
  readonly past?: AttentionInputs;
}

/** Weights by ordinary ops, [batch, heads, queries, keys]: e^{L_i − L_j} φ(q_i)·φ(k_j) of the keys that a query sees. */
function plainWeights({ projection: rows, past, query, key, keyMask, logDecay }: Arguments): Tensor {
  const withPast = (x: Tensor, before: Tensor | undefined) =>
    before === undefined ? x : g.concatenate([g.stopGradient(before), x], 1);
  const all = withPast(key, past?.key);
  const [count, total] = [query.staticDim(1), all.staticDim(1)];
  const before = total - count;
  const real = keyMask === undefined ? g.broadcastTo(g.scalar(1), [batch, count]) : g.cast(keyMask, 'float32');
  const shown = before === 0 ? real : g.concatenate([g.broadcastTo(g.scalar(1), [batch, before]), real], 1);
  const logs = (x: Tensor) => {
    const scaled = g.multiply(g.transpose(x, [0, 2, 1, 3]), dim ** -0.25);
    return g.subtract(
      g.matmul(scaled, rows, { transposeRight: true }),
      g.multiply(g.sum(g.square(scaled), -1, true), 0.5),
    );
  };
  const spread = (x: Tensor) => {
    const [, own, , size] = x.shape as [number, number, number, number];
    const shape = [batch, own, heads / own, total, size];
    return g.reshape(g.broadcastTo(g.reshape(x, [batch, own, 1, total, size]), shape), [batch, heads, total, size]);
  };
  const decays = g.multiply(withPast(logDecay!, past?.logDecay), g.reshape(shown, [batch, total, 1]));
  const soFar = spread(g.reshape(g.transpose(g.cumulativeSum(decays, 1), [0, 2, 1]), [batch, keyHeads, total, 1]));
  const products = g.matmul(g.exp(logs(query)), g.exp(spread(logs(all))), { transposeRight: true });
  const difference = g.subtract(g.slice(soFar, 2, before), g.transpose(soFar, [0, 1, 3, 2]));
  const lower = g.constant(
    'float32',
    [count, total],
    Array.from({ length: count * total }, (_, at) => Number(at % total <= before + Math.floor(at / total))),
  );
  const visible = g.multiply(lower, g.reshape(shown, [batch, 1, 1, total]));
  return g.multiply(
    products,
    g.where(g.less(0, visible), g.exp(g.where(g.less(0, visible), difference, g.scalar(0))), g.scalar(0)),
  );
}

function spreadValues(value: Tensor): Tensor {
  const [, total, own, size] = value.shape as [number, number, number, number];
  const copies = g.broadcastTo(g.reshape(value, [batch, total, own, 1, size]), [batch, total, own, heads / own, size]);
  return g.transpose(g.reshape(copies, [batch, total, heads, size]), [0, 2, 1, 3]);
}

function composition(inputs: Arguments): Tensor {
  const { past, value } = inputs;
  const weights = plainWeights(inputs);
  const values = past === undefined ? value : g.concatenate([g.stopGradient(past.value), value], 1);
  const denominator = g.sum(weights, -1, true);
  const safe = g.where(g.less(0, denominator), denominator, g.scalar(1));
  return g.transpose(g.divide(g.matmul(weights, spreadValues(values)), safe), [0, 2, 1, 3]);
}

const causal =
  (chunk: number) =>
  ({ projection: rows, state, ...inputs }: Arguments) =>
    causalAttention(inputs, positiveFeatures(rows), { chunk, ...(state === undefined ? {} : { state }) }).output;

const names = ['query', 'key', 'value', 'logDecay'] as const;
type Result = { readonly loss: HostTensor; readonly gradients: Readonly<Record<(typeof names)[number], HostTensor>> };

async function gradientsOf(engine: typeof oracle, attend: (inputs: Arguments) => Tensor, inputs: object) {
  const build = (given: Arguments) => {
    const loss = g.sum(g.multiply(attend(given), given.lossWeight));
    const { query, key, value, logDecay } = given;
    return { loss, gradients: g.gradient(loss, { query, key, value, logDecay: logDecay! }) };
  };
  return (await runOnce(engine, build as never, inputs)) as unknown as Result;
}

function expectSame(got: Result, expected: Result, tolerance: number) {
  expect(largestError(got.loss, expected.loss)).toBeLessThan(tolerance);
  for (const name of names) {
    expect(largestError(got.gradients[name], expected.gradients[name]), name).toBeLessThan(tolerance);
  }
}

function drawn(std: number, total = length) {
  const sizes = { batch, heads: keyHeads, length: total, dim, std };
  const logDecay = decayOf(sizes, (item, position, head) => 0.2 + 0.09 * ((5 * position + head + 3 * item) % 9));
  return { ...drawAttention(sizes), query: normal('queries', [batch, total, heads, dim], std), logDecay };
}

const masks = {
  'without a mask': undefined,
  'with padding on the right': maskOf(batch, length, (item, position) => position < length - 4 * item),
  'with keys hidden here and there': maskOf(batch, length, (item, position) => (position + item) % 3 !== 0),
};
const float32Rounding = { 1: 3e-5, 8: 1e-3 } as const;
const settings = ([1, 8] as const).flatMap((std) =>
  Object.entries(masks).map(([name, keyMask]) => ({ std, name, keyMask })),
);

describe.each(settings)('gradients with decays at std $std $name', ({ std, keyMask }) => {
  const masked = keyMask === undefined ? {} : { keyMask };

  it.each([1, 3, 4, 11, 32])('of causal attention in chunks of %i are those of the composition', async (chunk) => {
    const inputs = { ...drawn(std), ...masked, projection, lossWeight };
    const expected = await gradientsOf(oracle, composition, inputs);
    expectSame(await gradientsOf(oracle, causal(chunk), inputs), expected, 1e-8);
    expectSame(await gradientsOf(native, causal(chunk), inputs), expected, float32Rounding[std]);
  });

  it.each([1, 4, 32])('of causal attention in chunks of %i after a state are those with the past', async (chunk) => {
    const before = 5;
    const all = drawn(std, before + length);
    const past = cutInputs(all, 0, before);
    const { query: _, ...keys } = past;
    const start = await stream(oracle, { ...keys, query: keys.key }, positiveMap(projection), [before], { chunk: 2 });
    const { sum, logScale } = start.state;
    const now = { ...cutInputs(all, before, before + length), ...masked, projection, lossWeight };
    const expected = await gradientsOf(oracle, composition, { ...now, past });
    expectSame(await gradientsOf(oracle, causal(chunk), { ...now, state: { sum, logScale } }), expected, 1e-8);
    const got = await gradientsOf(native, causal(chunk), { ...now, state: { sum, logScale } });
    expectSame(got, expected, float32Rounding[std]);
  });
});

describe('the gradients of decays', () => {
  it.each([
    { std: 1, size: 1 },
    { std: 8, size: -18 },
  ])('reach them through the state that comes after, at std $std', async ({ std, size }) => {
    /** The sum itself, times e^{−size}. */
    const scaled = ({ sum, logScale }: AttentionState) =>
      g.multiply(sum, g.exp(g.reshape(g.subtract(logScale, size), [batch, keyHeads, features, 1])));
    const whole = ({ projection: rows, lossWeight: _, ...tokens }: Arguments) =>
      scaled(causalAttention(tokens, positiveFeatures(rows), { chunk: 4 }).state);
    const tokenByToken = ({ projection: rows, query, key, value, logDecay }: Arguments) => {
      let state: AttentionState | undefined;
      for (let at = 0; at < length; at++) {
        const [q, k, v, d] = [query, key, value, logDecay!].map((x) => g.slice(x, 1, at, at + 1));
        const token = { query: q!, key: k!, value: v!, logDecay: d! };
        const map = positiveFeatures(rows);
        ({ state } = state === undefined ? causalAttention(token, map) : recurrentAttention(token, map, state));
      }
      return scaled(state!);
    };
    const inputs = { ...drawn(std), projection, lossWeight: normal('state', [batch, keyHeads, features, dim + 1]) };
    const expected = await gradientsOf(oracle, tokenByToken, inputs);
    expectSame(await gradientsOf(oracle, whole, inputs), expected, 1e-8);
    expect(Math.max(...Array.from(expected.gradients.logDecay.data, Number))).toBeGreaterThan(1e-2);
  });

  it('are right where other terms share the denominator', async () => {
    const inputs = { ...drawn(1), projection, lossWeight };
    const exactWeights = ({ query, key }: Arguments) => {
      const scores = g.matmul(g.transpose(query, [0, 2, 1, 3]), spreadValues(key), { transposeRight: true });
      return g.exp(g.multiply(scores, dim ** -0.5));
    };
    const plain = (given: Arguments) => {
      const weights = g.add(g.multiply(plainWeights(given), 1 / features), exactWeights(given));
      const weighted = g.matmul(weights, spreadValues(given.value));
      return g.transpose(g.divide(weighted, g.sum(weights, -1, true)), [0, 2, 1, 3]);
    };
    const shared = ({ projection: rows, ...tokens }: Arguments) => {
      const { logDecay: _, ...others } = tokens;
      const { terms } = causalTerms(tokens, positiveFeatures(rows), { chunk: 4 });
      return divideTerms(terms, exactTerms(others, { isCausal: false }).terms);
    };
    const expected = await gradientsOf(oracle, plain, inputs);
    expectSame(await gradientsOf(oracle, shared, inputs), expected, 1e-8);
    expectSame(await gradientsOf(native, shared, inputs), expected, 3e-5);
  });

  it('are what finite differences show', async () => {
    const inputs = { ...drawn(1), projection, lossWeight };
    const { gradients } = await gradientsOf(oracle, causal(4), inputs);
    const lossAt = async (at: number, by: number) => {
      const data = Float64Array.from(inputs.logDecay.data);
      data[at]! += by;
      const moved = { ...inputs, logDecay: { ...inputs.logDecay, dtype: 'float64', data } };
      return Number((await gradientsOf(oracle, causal(4), moved)).loss.data[0]);
    };
    for (const at of [0, 1, 9, 30, 43]) {
      const numeric = ((await lossAt(at, 1e-5)) - (await lossAt(at, -1e-5))) / 2e-5;
      expect(Number(gradients.logDecay.data[at]), `logDecay[${at}]`).toBeCloseTo(numeric, 8);
    }
  });

  it('do not change what lies before: a token has no part in the outputs before it', async () => {
    const inputs = { ...drawn(1), projection, lossWeight: cutLength(lossWeight, 0, 6) };
    const first = (given: Arguments) => g.slice(causal(4)(given), 1, 0, 6);
    const { gradients } = await gradientsOf(oracle, first, inputs);
    const later = Array.from(gradients.logDecay.data, Number).filter(
      (_, at) => Math.floor(at / keyHeads) % length >= 6,
    );
    expect(later.every((value) => Math.abs(value) < 1e-12)).toBe(true);
  });
});

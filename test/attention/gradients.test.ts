/** The gradients that causal and bidirectional attention define for themselves, against ordinary differentiation. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  type AttentionState,
  bidirectionalAttention,
  causalAttention,
  recurrentAttention,
} from '../../src/attention/index.js';
import type { HostTensor } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type FeatureMap, positiveFeatures } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { cutLength, drawAttention, maskOf, projectionOf } from '../support/attention-inputs.js';
import { cutInputs, positiveMap, runOnce, stream } from '../support/attention-run.js';
import { lossCondition } from '../support/branches.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [batch, length, heads, dim, features] = [2, 11, 2, 6, 10];
const projection = projectionOf(features, dim);
const lossWeight = normal('loss', [batch, length, heads, dim]);

interface Arguments extends AttentionInputs {
  readonly projection: Tensor;
  readonly lossWeight: Tensor;
  readonly state?: AttentionState;
  /** Tokens before these, for the composition, which has no state. */
  readonly past?: AttentionInputs;
}

/** exp(Ωx·d^(−1/4) − |x|²/(2√d)) in one go: [batch, length, heads, dim] → [batch, heads, length, features]. */
function plainFeatures(x: Tensor, rows: Tensor): Tensor {
  const scaled = g.multiply(g.transpose(x, [0, 2, 1, 3]), dim ** -0.25);
  const halfNorm = g.multiply(g.sum(g.square(scaled), -1, true), 0.5);
  return g.exp(g.subtract(g.matmul(scaled, rows, { transposeRight: true }), halfNorm));
}

/** The quadratic form, written with ordinary ops: (φ(Q)φ(K)ᵀ ∘ mask) V over its row sums. */
function composition(isCausal: boolean) {
  return ({ projection: rows, past, query, key, value, keyMask }: Arguments): Tensor => {
    const before = past === undefined ? 0 : past.key.staticDim(1);
    const keys = past === undefined ? key : g.concatenate([g.stopGradient(past.key), key], 1);
    const values = past === undefined ? value : g.concatenate([g.stopGradient(past.value), value], 1);
    let weights = g.matmul(plainFeatures(query, rows), plainFeatures(keys, rows), { transposeRight: true });
    const [count, total] = [query.staticDim(1), keys.staticDim(1)];
    if (isCausal) {
      const lower = Array.from({ length: count * total }, (_, at) =>
        Number(at % total <= before + Math.floor(at / total)),
      );
      weights = g.multiply(weights, g.constant('float32', [count, total], lower));
    }
    if (keyMask !== undefined) {
      const own = g.cast(keyMask, 'float32');
      const whole = past === undefined ? own : g.concatenate([g.broadcastTo(g.scalar(1), [batch, before]), own], 1);
      weights = g.multiply(weights, g.reshape(whole, [batch, 1, 1, total]));
    }
    const denominator = g.sum(weights, -1, true);
    const safe = g.where(g.less(0, denominator), denominator, g.scalar(1));
    return g.transpose(g.divide(g.matmul(weights, g.transpose(values, [0, 2, 1, 3])), safe), [0, 2, 1, 3]);
  };
}

const bidirectional = ({ projection: rows, ...inputs }: Arguments) =>
  bidirectionalAttention(inputs, positiveFeatures(rows));

function causal(chunk: number) {
  return ({ projection: rows, state, ...inputs }: Arguments) =>
    causalAttention(inputs, positiveFeatures(rows), { chunk, ...(state === undefined ? {} : { state }) }).output;
}

/** The loss Σ weight∘output and its gradients. */
function withGradients(attend: (inputs: Arguments) => Tensor) {
  return (inputs: Arguments) => {
    const loss = g.sum(g.multiply(attend(inputs), inputs.lossWeight));
    const { query, key, value } = inputs;
    return { loss, gradients: g.gradient(loss, { query, key, value }) };
  };
}

interface Result {
  readonly loss: HostTensor;
  readonly gradients: Readonly<Record<'query' | 'key' | 'value', HostTensor>>;
}

async function gradientsOf(engine: typeof oracle, attend: (inputs: Arguments) => Tensor, inputs: object) {
  return (await runOnce(engine, withGradients(attend) as never, inputs)) as unknown as Result;
}

function expectSame(got: Result, expected: Result, tolerance: number) {
  expect(largestError(got.loss, expected.loss)).toBeLessThan(tolerance);
  for (const name of ['query', 'key', 'value'] as const) {
    expect(largestError(got.gradients[name], expected.gradients[name]), name).toBeLessThan(tolerance);
  }
}

const masks = {
  'without a mask': undefined,
  'with padding on the right': maskOf(batch, length, (item, position) => position < length - 4 * item),
  'with padding on the left': maskOf(batch, length, (item, position) => position >= 5 * item),
  'with a row that has no key': maskOf(batch, length, (item) => item === 0),
};

/**
 * float32, by std: gradients of size 1 from exponents of some 20 (2e-6 each), summed over 11 tokens; at std 8 exponents
 * of some 300 (4e-5 each), and gradients that such exponents make larger.
 */
const float32Rounding = { 1: 2e-5, 8: 1e-3 } as const;
const settings = ([1, 8] as const).flatMap((std) =>
  Object.entries(masks).map(([name, keyMask]) => ({ std, name, keyMask })),
);

describe.each(settings)('gradients at std $std $name', ({ std, keyMask }) => {
  const drawn = drawAttention({ batch, heads, length, dim, std });
  const inputs = { ...drawn, ...(keyMask === undefined ? {} : { keyMask }), projection, lossWeight };

  it('of bidirectional attention are those of the quadratic composition, on both engines', async () => {
    const expected = await gradientsOf(oracle, composition(false), inputs);
    expectSame(await gradientsOf(oracle, bidirectional, inputs), expected, 1e-8);
    expectSame(await gradientsOf(native, bidirectional, inputs), expected, float32Rounding[std]);
  });

  it.each([1, 3, 4, 11, 32])('of causal attention in chunks of %i are those of the composition', async (chunk) => {
    const expected = await gradientsOf(oracle, composition(true), inputs);
    expectSame(await gradientsOf(oracle, causal(chunk), inputs), expected, 1e-8);
    expectSame(await gradientsOf(native, causal(chunk), inputs), expected, float32Rounding[std]);
  });

  it.each([1, 4, 32])('of causal attention in chunks of %i after a state are those with the past', async (chunk) => {
    const before = 5;
    const all = drawAttention({ batch, heads, length: before + length, dim, std });
    const past = cutInputs(all, 0, before);
    const { state } = await stream(oracle, past, positiveMap(projection), [before], { chunk: 2 });
    const now = { ...cutInputs(all, before, before + length), ...(keyMask === undefined ? {} : { keyMask }) };
    const expected = await gradientsOf(oracle, composition(true), { ...now, past, projection, lossWeight });
    const withState = { ...now, state, projection, lossWeight };
    expectSame(await gradientsOf(oracle, causal(chunk), withState), expected, 1e-8);
    expectSame(await gradientsOf(native, causal(chunk), withState), expected, float32Rounding[std]);
  });
});

describe('more gradients', () => {
  const drawn = drawAttention({ batch, heads, length, dim, std: 1 });

  it('of cross attention are those of the composition', async () => {
    const query = normal('query', [batch, 4, heads, dim]);
    const inputs = { ...drawn, query, projection, lossWeight: cutLength(lossWeight, 0, 4) };
    const expected = await gradientsOf(oracle, composition(false), inputs);
    expectSame(await gradientsOf(oracle, bidirectional, inputs), expected, 1e-8);
  });

  it('of bidirectional attention over features with an epsilon are those of ordinary ops on these features', async () => {
    const inputs = { ...drawn, projection, lossWeight };
    const map = (rows: Tensor): FeatureMap => positiveFeatures(rows, { epsilon: 0.1 });
    const swap = (x: Tensor) => g.transpose(x, [0, 2, 1, 3]);
    const plain = ({ projection: rows, query, key, value }: Arguments) => {
      const [left, right] = [map(rows).query(swap(query)).values, map(rows).key(swap(key)).values];
      const weights = g.matmul(left, right, { transposeRight: true });
      return swap(g.divide(g.matmul(weights, swap(value)), g.sum(weights, -1, true)));
    };
    const own = ({ projection: rows, ...tokens }: Arguments) => bidirectionalAttention(tokens, map(rows));
    expectSame(await gradientsOf(oracle, own, inputs), await gradientsOf(oracle, plain, inputs), 1e-8);
  });

  it('of the recurrent form for its own token are those of the composition with the past', async () => {
    const before = 5;
    const past = cutInputs(drawn, 0, before);
    const { state } = await stream(oracle, past, positiveMap(projection), [before], { chunk: 2 });
    const rest = { ...cutInputs(drawn, before, before + 1), projection, lossWeight: cutLength(lossWeight, 0, 1) };
    const recurrent = ({ projection: rows, state: read, ...tokens }: Arguments) =>
      recurrentAttention(tokens, positiveFeatures(rows), read!).output;
    const expected = await gradientsOf(oracle, composition(true), { ...rest, past });
    expectSame(await gradientsOf(oracle, recurrent, { ...rest, state }), expected, 1e-8);
  });

  it.each([1, 8])('are what finite differences show at std %i', async (std) => {
    const step = 1e-5;
    const drawn = drawAttention({ batch, heads, length, dim, std });
    for (const attend of [bidirectional, causal(4)]) {
      const inputs = { ...drawn, projection, lossWeight };
      const { gradients } = await gradientsOf(oracle, attend, inputs);
      for (const name of ['query', 'key', 'value'] as const) {
        const lossAt = async (at: number, by: number) => {
          const data = Float64Array.from(drawn[name].data);
          data[at]! += by;
          const moved = { ...inputs, [name]: { ...drawn[name], data: Float64Array.from(data), dtype: 'float64' } };
          const loss = await runOnce(
            oracle,
            ((tensors: Arguments) => ({ loss: g.sum(g.multiply(attend(tensors), tensors.lossWeight)) })) as never,
            moved,
          );
          return Number((loss as unknown as Result).loss.data[0]);
        };
        for (const at of [0, 50, 131, 263]) {
          const numeric = ((await lossAt(at, step)) - (await lossAt(at, -step))) / (2 * step);
          expect(Number(gradients[name].data[at]), `${name}[${at}]`).toBeCloseTo(numeric, 8);
        }
      }
    }
  });

  it.each([
    { std: 4, wideDim: 64, isLossy: false },
    { std: 8, wideDim: 256, isLossy: true },
  ])(
    'stay right on ONNX Runtime at std $std and dim $wideDim',
    { timeout: 180_000 },
    async ({ std, wideDim, isLossy }) => {
      const sizes = { batch, heads, length: 40, dim: wideDim, std };
      const wide = {
        ...drawAttention(sizes),
        projection: projectionOf(64, wideDim),
        lossWeight: normal('loss', [batch, 40, heads, wideDim]),
      };
      for (const attend of [bidirectional, causal(16)]) {
        const branch = (inputs: Arguments) => ({ lossy: lossCondition(attend(inputs)) });
        const { lossy } = (await runOnce(native, branch as never, wide)) as unknown as { lossy: HostTensor };
        expect(Number(lossy.data[0])).toBe(Number(isLossy));
        // Exponents of some 150 are off by 2e-5, and gradients of size 10 as much relative to them.
        expectSame(await gradientsOf(native, attend, wide), await gradientsOf(oracle, attend, wide), 1e-3);
      }
    },
  );
});

/** Positive softmax features: what they are, and the gradient that they promise to whoever multiplies them. */
import { describe, expect, it } from 'vitest';
import { type AnyHostTensor, type HostTensor, hostTensor, PerformerError } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type Features, positiveFeatures } from '../../src/features/index.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { projectionOf } from '../support/attention-inputs.js';
import { logFeatures, rowsOf } from '../support/attention-oracle.js';
import { runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const [rows, dim, features] = [10, 8, 12];
const projection = projectionOf(features, dim);

type Built = Record<string, HostTensor>;
type Side = 'query' | 'key';

async function run(engine: typeof oracle, build: (x: Tensor, projection: Tensor) => object, x: AnyHostTensor) {
  const wrapped = (inputs: { x: Tensor; projection: Tensor }) => build(inputs.x, inputs.projection);
  return (await runOnce(engine, wrapped as never, { x, projection })) as unknown as Built;
}

/** log φ of every row, by the formula in plain loops: the oracle's, and the factor 1/√features. */
function formula(x: HostTensor): number[] {
  const frequencies = rowsOf(projection);
  return rowsOf({ ...x, shape: [rows, dim] } as HostTensor).flatMap((row) =>
    [...logFeatures(row, frequencies)].map((log) => log - Math.log(features) / 2),
  );
}

describe.each(['query', 'key'] as const)('the features of a %s', (side: Side) => {
  it.each([0.5, 1, 4, 30])(
    'are exp(Ωx·d^(−1/4) − |x|²/(2√d))/√features, written three ways, for x of std %d',
    async (std) => {
      const x = normal('x', [1, 1, rows, dim], std);
      const expected = formula(x);
      const build = (input: Tensor, drawn: Tensor) => {
        const { values: shares, logScale, logFeatures: logs } = positiveFeatures(drawn)[side](input);
        return { shares, logScale: logScale!, logs: logs! };
      };
      for (const [engine, tolerance] of [
        [oracle, 1e-12],
        [native, 5e-7],
      ] as const) {
        const { shares, logScale, logs } = await run(engine, build, x);
        expect(shares!.shape).toEqual([1, 1, rows, features]);
        expect(logScale!.shape).toEqual([1, 1, rows, 1]);
        const scales = values(logScale!);
        const largest = Math.max(...expected.map(Math.abs));
        const rounding = tolerance * (1 + largest);
        values(logs!).forEach((log, at) => {
          expect(Math.abs(log - expected[at]!), 'logFeatures').toBeLessThan(rounding);
        });
        values(shares!).forEach((share, at) => {
          const scale = scales[Math.floor(at / features)]!;
          // values·e^{logScale} = φ, as shares of the row: e^{log φ − logScale} is at most 1 and never overflows.
          expect(Math.abs(share - Math.exp(expected[at]! - scale)), 'values').toBeLessThan(2 * rounding);
        });
        for (let row = 0; row < rows; row++) {
          const share = values(shares!).slice(row * features, (row + 1) * features);
          expect(share.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
        }
      }
    },
  );

  it('keep in logFeatures what values lose to underflow', async () => {
    const x = normal('x', [1, 1, rows, dim], 60);
    const { shares, logs } = await run(
      native,
      (input, drawn) => {
        const found = positiveFeatures(drawn)[side](input);
        return { shares: found.values, logs: found.logFeatures! };
      },
      x,
    );
    expect(values(shares!).some((share) => share === 0)).toBe(true);
    expect(values(logs!).every(Number.isFinite)).toBe(true);
    expect(new Set(values(logs!)).size).toBe(rows * features);
  });
});

describe('the gradient of the features', () => {
  const x = normal('x', [1, 1, rows, dim]);
  const weights = normal('weights', [1, 1, rows, features]);
  const loss = (y: Tensor, constant: Tensor) => g.sum(g.multiply(g.square(y), constant));

  /** Gradients of one loss of φ with respect to x, φ being written through the gauge pair and through its logarithm. */
  async function both(side: Side, phi: (found: Features) => Tensor, plainPhi: (found: Features) => Tensor) {
    const build = (input: Tensor, drawn: Tensor) => {
      const found = positiveFeatures(drawn)[side](input);
      const constant = g.constant('float32', [1, 1, rows, features], [...weights.data]);
      const gauge = g.gradient(loss(phi(found), constant), { input }).input;
      const plain = g.gradient(loss(plainPhi(found), constant), { input }).input;
      return { gauge, plain };
    };
    return { onOracle: await run(oracle, build, x), onNative: await run(native, build, x) };
  }

  it('of a key is right for whatever depends on values·exp(logScale)', async () => {
    const { onOracle, onNative } = await both(
      'key',
      ({ values: shares, logScale }) => g.multiply(shares, g.exp(logScale!)),
      ({ logFeatures: logs }) => g.exp(logs!),
    );
    expect(largestError(onOracle.gauge!, onOracle.plain!)).toBeLessThan(1e-10);
    expect(largestError(onNative.gauge!, onOracle.plain!)).toBeLessThan(1e-5);
    expect(values(onOracle.plain!).some((value) => Math.abs(value) > 1e-3)).toBe(true);
  });

  it('of a key is right for another gauge: a constant moved from logScale into values', async () => {
    const { onOracle } = await both(
      'key',
      ({ values: shares, logScale }) => g.multiply(g.multiply(shares, 8), g.exp(g.subtract(logScale!, Math.log(8)))),
      ({ logFeatures: logs }) => g.exp(logs!),
    );
    // The constant log 8 is a float32 in the graph.
    expect(largestError(onOracle.gauge!, onOracle.plain!)).toBeLessThan(1e-6);
  });

  it('of a query is right for whatever depends on values up to a factor per row, without a logScale', async () => {
    const share = (y: Tensor) =>
      g.divide(y, g.add(g.sum(g.multiply(y, g.constant('float32', [features], ramp)), -1, true), 0));
    const ramp = Array.from({ length: features }, (_, at) => 1 + at / features);
    const { onOracle, onNative } = await both(
      'query',
      ({ values: shares }) => share(shares),
      ({ logFeatures: logs }) => share(g.exp(logs!)),
    );
    expect(largestError(onOracle.gauge!, onOracle.plain!)).toBeLessThan(1e-10);
    expect(largestError(onNative.gauge!, onOracle.plain!)).toBeLessThan(1e-5);
    expect(values(onOracle.plain!).some((value) => Math.abs(value) > 1e-3)).toBe(true);
  });

  it('is that of finite differences through logFeatures', async () => {
    const build = (input: Tensor, drawn: Tensor) => {
      const { logFeatures: logs } = positiveFeatures(drawn).key(input);
      const total = loss(g.exp(logs!), g.constant('float32', [1, 1, rows, features], [...weights.data]));
      return { total, gradient: g.gradient(total, { input }).input };
    };
    const { gradient } = await run(oracle, build, x);
    const step = 1e-5;
    for (const at of [0, 17, 42, 79]) {
      const totalAt = async (by: number) => {
        const data = Float64Array.from(x.data);
        data[at]! += by;
        return values((await run(oracle, build, hostTensor('float64', x.shape, data))).total!)[0]!;
      };
      const numeric = ((await totalAt(step)) - (await totalAt(-step))) / (2 * step);
      expect(values(gradient!)[at]!).toBeCloseTo(numeric, 6);
    }
  });

  it('does not reach the projection, which is drawn and not learned', async () => {
    const build = (input: Tensor, drawn: Tensor) => {
      const { values: shares, logScale } = positiveFeatures(drawn).key(input);
      return { own: g.gradient(g.sum(g.multiply(shares, g.exp(logScale!))), { drawn }).drawn };
    };
    expect(values((await run(oracle, build, x)).own!).every((value) => value === 0)).toBe(true);
  });
});

describe('features with an epsilon', () => {
  const x = normal('x', [2, 3, rows, dim]);

  it('are exp(log φ − stabiliser) + ε, the stabiliser of a key one for its sequence, that of a query its own', async () => {
    for (const side of ['query', 'key'] as const) {
      const build = (input: Tensor, drawn: Tensor) => {
        const found = positiveFeatures(drawn, { epsilon: 0.01 })[side](input);
        expect(found.logScale).toBeUndefined();
        expect(found.logFeatures).toBeUndefined();
        return { phi: found.values };
      };
      const phi = values((await run(oracle, build, x)).phi!);
      const scale = dim ** -0.25;
      const frequencies = rowsOf(projection);
      const every = rowsOf({ ...x, shape: [6 * rows, dim] } as HostTensor);
      const products = every.map((row) => frequencies.map((w) => w.reduce((t, v, i) => t + v * row[i]! * scale, 0)));
      every.forEach((row, at) => {
        const sequence = Math.floor(at / rows) * rows;
        const group = side === 'query' ? [products[at]!] : products.slice(sequence, sequence + rows);
        const stabilizer = Math.max(...group.flat());
        logFeatures(row, frequencies).forEach((log, feature) => {
          const share = phi[at * features + feature]!;
          expect(share).toBeCloseTo(Math.exp(log - stabilizer) + 0.01, 7);
        });
      });
    }
  });

  it('say that they depend on the whole sequence, which others do not', () => {
    const drawn = g.input('projection', 'float32', [features, dim]);
    expect(positiveFeatures(drawn, { epsilon: 1e-4 }).isSequenceWide).toBe(true);
    expect(positiveFeatures(drawn).isSequenceWide).toBe(false);
    expect(positiveFeatures(drawn).featureCount).toBe(features);
  });

  it.each([-1e-4, Number.NaN, Number.POSITIVE_INFINITY])('refuse an epsilon of %d', (epsilon) => {
    const drawn = g.input('projection', 'float32', [features, dim]);
    expect(() => positiveFeatures(drawn, { epsilon })).toThrow(PerformerError);
    expect(() => positiveFeatures(drawn, { epsilon })).toThrow(/epsilon/);
  });
});

/** The implicit attention matrix: times the values it is the output of attention, its rows sum to 1, exact beside it. */
import { describe, expect, it, test } from 'vitest';
import {
  attentionMap,
  bidirectionalAttention,
  causalAttention,
  exactAttention,
  exactAttentionMap,
} from '../../src/attention/index.js';
import { float32, type HostTensor, PerformerError, Random } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  drawFeatureParts,
  type FeatureMapName,
  type FeatureMapOptions,
  type FeatureMapParts,
  featureCountOf,
  featureMap,
  positiveFeatures,
} from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { type DrawnAttention, decayOf, drawAttention, maskOf } from '../support/attention-inputs.js';
import { attentionOracle } from '../support/attention-oracle.js';
import { runOnce } from '../support/attention-run.js';
import { largestError, values } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const sizes = { batch: 2, heads: 2, length: 9, dim: 8, std: 1 };
const drawn = drawAttention(sizes);
const keyMask = maskOf(2, 9, (item, position) => (item === 0 ? position % 3 !== 1 : position > 2));

interface Arrays extends DrawnAttention {
  readonly parts: FeatureMapParts<HostTensor>;
}

function optionsOf(name: FeatureMapName): FeatureMapOptions {
  const base = { name, headDim: sizes.dim, projectionKind: 'orthogonal', rowNorm: 'chi' } as const;
  return { ...base, featureCount: featureCountOf({ ...base, featureCount: 20 }) };
}

function partsOf(name: FeatureMapName): FeatureMapParts<HostTensor> {
  return drawFeatureParts(optionsOf(name), sizes.heads, Random.fromSeed(4));
}

type Traced = { query: g.Tensor; key: g.Tensor; value: g.Tensor; keyMask?: g.Tensor<'bool'>; parts: FeatureMapParts };

/** A [batch, heads, rows, keys] · V [batch, keys, heads, dim], back to [batch, rows, heads, dim]. */
function timesValues(map: g.Tensor, value: g.Tensor): g.Tensor {
  return g.transpose(g.matmul(map, g.transpose(value, [0, 2, 1, 3])), [0, 2, 1, 3]);
}

describe.each(['positive', 'hyperbolic', 'oprf', 'trigonometric', 'relu', 'tanh', 'taylor', 'cosformer'] as const)(
  'the matrix of %s features',
  (name) => {
    it.each([
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ])('times the values is the output of attention: causal %s, masked %s', async (isCausal, isMasked) => {
      const inputs: Arrays = { ...drawn, ...(isMasked ? { keyMask } : {}), parts: partsOf(name) };
      const build = ({ parts, ...x }: Traced) => {
        const map = featureMap(optionsOf(name), parts);
        const matrix = attentionMap(x, map, { isCausal });
        const attended = isCausal ? causalAttention(x, map, { chunk: 4 }).output : bidirectionalAttention(x, map);
        return { matrix, attended, product: timesValues(matrix, x.value) };
      };
      for (const [engine, tolerance] of [
        [oracle, 1e-9],
        [native, 1e-4],
      ] as const) {
        const { matrix, attended, product } = (await runOnce(
          engine,
          build as never,
          inputs as never,
        )) as never as Record<string, HostTensor>;
        expect(matrix!.shape).toEqual([2, 2, 9, 9]);
        expect(largestError(product!, attended!)).toBeLessThan(tolerance);
      }
    });
  },
);

/** Sums of the last axis. */
function rowSums({ shape, ...rest }: HostTensor): number[] {
  const keys = shape.at(-1)!;
  const all = values({ shape, ...rest } as HostTensor);
  return Array.from({ length: all.length / keys }, (_, row) =>
    all.slice(row * keys, (row + 1) * keys).reduce((a, b) => a + b),
  );
}

describe('attention matrices', () => {
  it.each([1, 6, 30])('for q and k of std %d: rows sum to 1 and agree with the oracle in float64', async (std) => {
    const inputs: Arrays = { ...drawAttention({ ...sizes, std }), parts: partsOf('positive') };
    const build = ({ parts, ...x }: Traced) => {
      const map = featureMap(optionsOf('positive'), parts);
      const matrix = attentionMap(x, map, { isCausal: true });
      const exact = exactAttentionMap(x, { isCausal: true });
      return { matrix, exact, product: timesValues(matrix, x.value), exactProduct: timesValues(exact, x.value) };
    };
    const found = (await runOnce(native, build as never, inputs as never)) as never as Record<string, HostTensor>;
    for (const name of ['matrix', 'exact'] as const) {
      for (const total of rowSums(found[name]!)) expect(total).toBeCloseTo(1, 5);
      expect(values(found[name]!).every((value) => value >= 0 && value <= 1.00001)).toBe(true);
    }
    const { projection } = inputs.parts as { projection: HostTensor };
    // Exponents grow as std², and float32 keeps 24 bits of them.
    const tolerance = 1e-5 * std * std;
    expect(largestError(found.product!, attentionOracle(inputs, { isCausal: true, projection }))).toBeLessThan(
      tolerance,
    );
    expect(largestError(found.exactProduct!, attentionOracle(inputs, { isCausal: true }))).toBeLessThan(tolerance);
  });

  const factors = {
    'a decay of each head': (_: number, __: number, head: number) => 1 - 2 ** (-1 - head),
    'gates of each token': (item: number, at: number, head: number) => 0.1 + 0.08 * ((3 * at + head + item) % 10),
  };

  it.each(Object.entries(factors))(
    'have what is left of each key after %s, as the oracle in float64 has it',
    async (_, factor) => {
      const rows = [8, 0, 5];
      const all = { ...drawn, keyMask, logDecay: decayOf(sizes, factor) };
      const build = ({ parts, ...x }: Traced) => ({
        matrix: attentionMap(x, featureMap(optionsOf('positive'), parts), { isCausal: true, rows }),
      });
      const parts = partsOf('positive');
      const { projection } = parts as { projection: HostTensor };
      // Values that are the rows of the identity give the weights themselves: [batch, rows, heads, keys].
      const identity = float32(
        [2, 9, 2, 9],
        Array.from({ length: 324 }, (_, at) => Number(at % 9 === Math.floor(at / 18) % 9)),
      );
      const expected = attentionOracle({ ...all, value: identity }, { isCausal: true, projection, rows });
      for (const [engine, tolerance] of [
        [oracle, 1e-12],
        [native, 1e-5],
      ] as const) {
        const found = (await runOnce(engine, build as never, { ...all, parts } as never)) as never as Record<
          string,
          HostTensor
        >;
        const weights = values(found.matrix!); // [batch, heads, rows, keys]
        weights.forEach((weight, at) => {
          const [item, head, row, key] = [Math.floor(at / 54), Math.floor(at / 27) % 2, Math.floor(at / 9) % 3, at % 9];
          expect(Math.abs(weight - Number(expected.data[((item * 3 + row) * 2 + head) * 9 + key]))).toBeLessThan(
            tolerance,
          );
        });
      }
    },
  );

  it.each(['relu', 'tanh', 'trigonometric', 'cosformer'] as const)(
    'of %s features and decays times the values is causal attention',
    async (name) => {
      const inputs = {
        ...drawn,
        keyMask,
        logDecay: decayOf(sizes, factors['gates of each token']),
        parts: partsOf(name),
      };
      const build = ({ parts, ...x }: Traced) => {
        const map = featureMap(optionsOf(name), parts);
        const product = timesValues(attentionMap(x, map, { isCausal: true }), x.value);
        return { product, attended: causalAttention(x, map, { chunk: 4 }).output };
      };
      const found = (await runOnce(oracle, build as never, inputs as never)) as never as Record<string, HostTensor>;
      expect(largestError(found.product!, found.attended!)).toBeLessThan(1e-9);
    },
  );

  it('know decays of causal attention alone', () => {
    const [query, key] = ['q', 'k'].map((name) => g.input(name, 'float32', [1, 4, 1, 8])) as [g.Tensor, g.Tensor];
    const logDecay = g.input('decay', 'float32', [1, 4, 1]);
    const map = positiveFeatures(g.input('projection', 'float32', [20, 8]));
    expect(() => attentionMap({ query, key, logDecay }, map, { isCausal: false })).toThrow(/expected no logDecay/);
    expect(() => exactAttentionMap({ query, key, logDecay }, { isCausal: true })).toThrow(/expected no logDecay/);
  });

  it('of chosen rows are those rows of the whole, in the order asked for', async () => {
    const rows = [7, 0, 3];
    for (const name of ['positive', 'trigonometric', 'cosformer'] as const) {
      const inputs: Arrays = { ...drawn, keyMask, parts: partsOf(name) };
      const build = ({ parts, ...x }: Traced) => {
        const map = featureMap(optionsOf(name), parts);
        const options = { isCausal: true, rows };
        return {
          chosen: attentionMap(x, map, options),
          whole: attentionMap(x, map, { isCausal: true }),
          exactChosen: exactAttentionMap(x, options),
          exactWhole: exactAttentionMap(x, { isCausal: true }),
        };
      };
      const found = (await runOnce(oracle, build as never, inputs as never)) as never as Record<string, HostTensor>;
      for (const [part, full] of [
        [found.chosen!, found.whole!],
        [found.exactChosen!, found.exactWhole!],
      ] as const) {
        expect(part.shape).toEqual([2, 2, 3, 9]);
        const picked = [0, 1, 2, 3].flatMap((block) =>
          rows.flatMap((row) => values(full).slice((block * 9 + row) * 9, (block * 9 + row + 1) * 9)),
        );
        values(part).forEach((value, at) => expect(value).toBeCloseTo(picked[at]!, 12));
      }
    }
  });

  it('the exact one times the values is exact attention, and rows that see nothing are zeros', async () => {
    const blind = maskOf(2, 9, (item, position) => item === 1 && position > 3);
    const inputs = { ...drawn, keyMask: blind, parts: partsOf('positive') };
    const build = ({ parts, ...x }: Traced) => ({
      product: timesValues(exactAttentionMap(x, { isCausal: true }), x.value),
      attended: exactAttention(x, { isCausal: true }).output,
      approximate: attentionMap(x, featureMap(optionsOf('positive'), parts), { isCausal: true }),
    });
    const found = (await runOnce(oracle, build as never, inputs as never)) as never as Record<string, HostTensor>;
    expect(largestError(found.product!, found.attended!)).toBeLessThan(1e-10);
    const sums = rowSums(found.approximate!);
    expect(sums.slice(0, 18).every((total) => total === 0)).toBe(true); // item 0 sees nothing
    expect(sums.slice(18, 22).every((total) => total === 0)).toBe(true); // nor do the first four rows of item 1
    expect(sums.slice(22, 27).every((total) => Math.abs(total - 1) < 1e-9)).toBe(true);
  });

  const inputs = { query: g.input('q', 'float32', [1, 4, 1, 8]), key: g.input('k', 'float32', [1, 4, 1, 8]) };
  test.each([
    ['a row beyond the last', [4]],
    ['a negative row', [-1]],
    ['half a row', [0.5]],
    ['no row', []],
  ])('%s is refused', (_, rows) => {
    expect(() => exactAttentionMap(inputs, { isCausal: false, rows })).toThrow(PerformerError);
    expect(() => exactAttentionMap(inputs, { isCausal: false, rows })).toThrow(/rows from 0 to 4/);
  });
});

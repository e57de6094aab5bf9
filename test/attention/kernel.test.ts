/** Attention by an exact kernel: its definition in plain loops, exact attention as a case of it, guarded denominators. */
import { describe, expect, it } from 'vitest';
import {
  type AttentionInputs,
  bidirectionalAttention,
  causalAttention,
  exactAttention,
  kernelAttention,
} from '../../src/attention/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { expansionFeatures } from '../../src/features/index.js';
import * as g from '../../src/graph/index.js';
import { arcCosineKernel, gaussianKernel, type Kernel, linearKernel, softmaxKernel } from '../../src/kernels/index.js';
import { drawAttention, maskOf } from '../support/attention-inputs.js';
import { runOnce } from '../support/attention-run.js';
import { normal } from '../support/cases.js';
import { largestError, values } from '../support/compare.js';

const oracle = referenceEngine();
const native = nodeEngine({ threads: 1 });
const sizes = { batch: 2, heads: 2, length: 9, dim: 4, std: 1 };
const drawn = drawAttention(sizes);
const keyMask = maskOf(2, 9, (item, position) => (item === 0 ? position % 3 !== 1 : position > 2));

/** By its definition; float64. */
function byHand(kernel: Kernel, isCausal: boolean, isMasked: boolean): number[] {
  const { batch, heads, length, dim } = sizes;
  const at = (x: { data: Float32Array }, item: number, position: number, head: number) => {
    const start = ((item * length + position) * heads + head) * dim;
    return Float64Array.from(x.data.subarray(start, start + dim));
  };
  const out: number[] = [];
  for (let item = 0; item < batch; item++)
    for (let row = 0; row < length; row++)
      for (let head = 0; head < heads; head++) {
        const total = new Float64Array(dim);
        let denominator = 0;
        let mass = 0;
        for (let position = 0; position < length; position++) {
          if (isCausal && position > row) continue;
          if (isMasked && keyMask.data[item * length + position] === 0) continue;
          const [query, key] = [at(drawn.query, item, row, head), at(drawn.key, item, position, head)];
          const weight = kernel.evaluate(query, key);
          denominator += weight;
          mass += Math.sqrt(kernel.evaluate(query, query) * kernel.evaluate(key, key));
          at(drawn.value, item, position, head).forEach((value, i) => {
            total[i]! += weight * value;
          });
        }
        if (kernel.isSigned) denominator = Math.max(denominator, 0.01 * mass); // the guard: arc-cosines are never negative
        out.push(...total.map((value) => (denominator === 0 ? 0 : value / denominator)));
      }
  return out;
}

describe.each([
  ['softmax', softmaxKernel()],
  ['gaussian', gaussianKernel({ gamma: 0.3 })],
  ['arc-cosine 1', arcCosineKernel({ degree: 1 })],
] as const)('attention by the %s kernel', (_, kernel) => {
  it.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('is the weighted mean that defines it: causal %s, masked %s', async (isCausal, isMasked) => {
    const inputs = isMasked ? { ...drawn, keyMask } : drawn;
    const expected = byHand(kernel, isCausal, isMasked);
    for (const [engine, tolerance] of [
      [oracle, 1e-10],
      [native, 2e-5],
    ] as const) {
      const output = await runOnce(engine, (x) => kernelAttention(x as AttentionInputs, kernel, { isCausal }), inputs);
      values(output as never).forEach((value, at) =>
        expect(Math.abs(value - expected[at]!)).toBeLessThan(tolerance * (1 + Math.abs(expected[at]!))),
      );
    }
  });
});

describe('attention by a kernel', () => {
  it('is exact attention for the softmax kernel, its gradients too, also for large norms', async () => {
    for (const std of [1, 20]) {
      const inputs = drawAttention({ ...sizes, std });
      const weights = normal('weights', inputs.value.shape);
      const gradients = (attend: (x: AttentionInputs) => g.Tensor) => (x: AttentionInputs & { weights: g.Tensor }) => {
        const output = attend(x);
        const { query, key, value } = x;
        return { output, ...g.gradient(g.sum(g.multiply(output, x.weights)), { query, key, value }) };
      };
      const found = await runOnce(
        oracle,
        gradients((x) => kernelAttention(x, softmaxKernel(), { isCausal: true })) as never,
        { ...inputs, weights },
      );
      const expected = await runOnce(oracle, gradients((x) => exactAttention(x, { isCausal: true }).output) as never, {
        ...inputs,
        weights,
      });
      for (const name of ['output', 'query', 'key', 'value'] as const) {
        expect(largestError((found as never)[name], (expected as never)[name]), name).toBeLessThan(1e-9);
      }
    }
  });

  it('by a truncated kernel is what attention through its monomial features gives', async () => {
    const expansion = gaussianKernel({ gamma: 0.2 }).taylor!(2);
    const truncated: Kernel = {
      ...gaussianKernel({ gamma: 0.2 }),
      isSigned: true,
      matrix: (x, y) => g.matmul(expansion.features(x), expansion.features(y), { transposeRight: true }),
      diagonal: (x) => g.sum(g.square(expansion.features(x)), -1, true),
    };
    delete (truncated as { logMatrix?: unknown }).logMatrix;
    const map = expansionFeatures(expansion, sizes.dim);
    const outputs = await runOnce(
      oracle,
      ((x: AttentionInputs) => ({
        byKernel: kernelAttention(x, truncated, { isCausal: false }),
        byFeatures: bidirectionalAttention(x, map),
        causalByKernel: kernelAttention(x, truncated, { isCausal: true }),
        causalByFeatures: causalAttention(x, map, { chunk: 4 }).output,
      })) as never,
      drawn,
    );
    const { byKernel, byFeatures, causalByKernel, causalByFeatures } = outputs as never as Record<string, never>;
    expect(largestError(byFeatures!, byKernel!)).toBeLessThan(1e-9);
    expect(largestError(causalByFeatures!, causalByKernel!)).toBeLessThan(1e-9);
  });

  it('by a signed kernel never exceeds a hundred times the largest value, and has finite gradients', async () => {
    const inputs = drawAttention({ ...sizes, length: 400, std: 1 });
    const result = (await runOnce(
      native,
      ((x: AttentionInputs) => {
        const output = kernelAttention(x, linearKernel(), { isCausal: false });
        return { output, gradient: g.gradient(g.sum(output), { query: x.query }).query };
      }) as never,
      inputs,
    )) as never as Record<string, never>;
    const largest = Math.max(...inputs.value.data.map(Math.abs));
    expect(Math.max(...values(result.output!).map(Math.abs))).toBeLessThan(100 * largest);
    expect(values(result.gradient!).every(Number.isFinite)).toBe(true);
  });

  it('gives zeros to a query that sees no key', async () => {
    const blind = maskOf(2, 9, (item) => item === 1);
    for (const kernel of [softmaxKernel(), arcCosineKernel({ degree: 0 })]) {
      const output = await runOnce(native, (x) => kernelAttention(x as AttentionInputs, kernel, { isCausal: false }), {
        ...drawn,
        keyMask: blind,
      });
      const half = values(output as never);
      expect(half.slice(0, half.length / 2).every((value) => value === 0)).toBe(true);
      expect(half.slice(half.length / 2).some((value) => value !== 0)).toBe(true);
    }
  });
});

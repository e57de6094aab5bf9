/** Rows in chunks: the function and the gradient of all rows at once, of which nothing is kept but the argument. */
import { describe, expect, it } from 'vitest';
import { type HostTensor, symbol } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { sortNodes, valueInputs } from '../../src/graph/tensor.js';
import { normal } from '../support/cases.js';
import { largestError } from '../support/compare.js';

type Given<T = Tensor> = Readonly<Record<'x' | 'w' | 'b' | 'unused' | 'given', T>>;

const [dim, hidden] = [4, 24];
const arrays: Given<HostTensor> = {
  x: normal('x', [2, 7, dim]),
  w: normal('w', [dim, hidden]),
  b: normal('b', [hidden]),
  unused: normal('unused', [3]),
  given: normal('given', [2, 7, dim]),
};
const specs: Given<g.TensorSpec> = {
  x: g.spec('float32', [2, 7, dim]),
  w: g.spec('float32', [dim, hidden]),
  b: g.spec('float32', [hidden]),
  unused: g.spec('float32', [3]),
  given: g.spec('float32', [2, 7, dim]),
};

/** tanh(xW + b)Wᵀ */
function layer({ w, b }: Pick<Given, 'w' | 'b' | 'unused'>, x: Tensor): Tensor {
  return g.matmul(g.tanh(g.add(g.matmul(x, w), b)), w, { transposeRight: true });
}

/** The layer in chunks, and the gradients of a sum of it. */
function inChunksOf(size: number) {
  return ({ x, given, ...params }: Given) => {
    const output = g.inChunks(size, params, x, layer);
    return { output, ...g.gradient(g.sum(g.multiply(output, given)), { x, ...params }) };
  };
}

const traced = (size: number, own = specs) => g.trace(inChunksOf(size), [own]).graph;

describe('rows in chunks', () => {
  // 14 rows: chunks of one row, of two that divide them, of five with padding, and of nearly all.
  it.each([1, 2, 5, 13])('are computed as all at once, gradients too: %i at most', async (size) => {
    for (const [engine, most] of [
      [referenceEngine(), 1e-14],
      [nodeEngine({ threads: 1 }), 1e-5],
    ] as const) {
      const resultOf = async (own: number) => {
        const executable = await engine.compile(inChunksOf(own), [specs]);
        const result = await executable.run([arrays]);
        await executable.dispose();
        return result;
      };
      const whole = await resultOf(Number.POSITIVE_INFINITY);
      const chunked = await resultOf(size);
      for (const [name, values] of Object.entries(whole)) {
        const own = chunked[name as keyof typeof whole];
        expect(own.shape, name).toEqual(values.shape);
        expect(largestError(own, values), name).toBeLessThan(most);
      }
    }
  });

  it('never have the intermediate values of all rows outside of a chunk', () => {
    const widest = (size: number) => {
      const results = traced(size).outputs.map(({ tensor }) => tensor);
      const shapes = sortNodes(results, valueInputs).flatMap(({ outputs }) => outputs.map(({ shape }) => shape));
      return Math.max(...shapes.map((shape) => shape.reduce<number>((count, size) => count * (size as number), 1)));
    };
    expect(widest(14)).toBe(14 * hidden);
    expect(widest(5)).toBe(dim * hidden); // the weights
  });

  it('stay whole where they are no more than a chunk, or as many as a run says', () => {
    const scans = (size: number, own = specs) =>
      g.printGraph({ y: traced(size, own).outputs[0]!.tensor }).includes('scan');
    expect(scans(13)).toBe(true);
    expect(scans(14)).toBe(false);
    const shape = [symbol('batch'), 7, dim];
    expect(scans(5, { ...specs, x: g.spec('float32', shape), given: g.spec('float32', shape) })).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { float32, symbol } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { values } from '../support/compare.js';

const oracle = referenceEngine();
const vector = g.spec('float32', [3]);
const x = float32([3], [1, -2, 3]);

async function gradientOf(build: (x: Tensor) => Tensor): Promise<number[]> {
  const executable = await oracle.compile(({ x: input }) => g.gradient(build(input), { x: input }), [{ x: vector }]);
  return values((await executable.run([{ x }])).x);
}

describe('the gradient', () => {
  it('accumulates over all uses of a tensor', async () => {
    expect(await gradientOf((t) => g.sum(g.add(g.multiply(t, t), t)))).toEqual([3, -3, 7]);
  });
  it('stops where it is told to', async () => {
    expect(await gradientOf((t) => g.sum(g.multiply(t, g.stopGradient(t))))).toEqual([1, -2, 3]);
  });
  it('is zero for what the loss does not depend on', async () => {
    expect(await gradientOf(() => g.scalar(4))).toEqual([0, 0, 0]);
  });
  it('is what a composite says it is', async () => {
    const composite = (t: Tensor) => g.withGradient([t], [g.exp(t)], ([out]) => [g.multiply(out!, 10)])[0]!;
    expect(await gradientOf((t) => g.sum(composite(t)))).toEqual([10, 10, 10]);
  });
  it('sums over the axes that were broadcast', async () => {
    expect(await gradientOf((t) => g.sum(g.multiply(g.broadcastTo(t, [5, 3]), 2)))).toEqual([10, 10, 10]);
  });
  it('can be differentiated again', async () => {
    const second = (t: Tensor) => {
      const { t: first } = g.gradient(g.sum(g.power(t, 3)), { t });
      return g.sum(first);
    };
    expect(await gradientOf(second)).toEqual([6, -12, 18]);
  });
  it('refuses a loss that is no scalar', async () => {
    await expect(gradientOf((t) => t)).rejects.toThrow(/expected a float32 scalar as the loss, got float32 \[3\]/);
  });
});

describe('building a graph', () => {
  it('refuses shapes that do not fit, and says where in the model', () => {
    const build = () =>
      g.trace(
        ({ a, b }) => g.scope('blocks.0', () => g.scope('attention', () => g.matmul(a, b))),
        [{ a: g.spec('float32', [2, 3]), b: g.spec('float32', [4, 5]) }],
      );
    expect(build).toThrow(/matmul in blocks\.0\.attention: expected equal inner dimensions instead of 3 .* 4/);
  });
  it('refuses dtypes that do not fit', () => {
    const build = () => g.trace(({ a }) => g.exp(a), [{ a: g.spec('uint32', [2]) }]);
    expect(build).toThrow(/exp: expected float32 or int32 or int64, got uint32/);
  });
  it('refuses two inputs of one name', () => {
    expect(() => g.trace((a, b) => g.add(a.x, b.x), [{ x: vector }, { x: vector }])).toThrow(/got x twice/);
  });
  it('prints as one line a node, with paths and symbolic dimensions', () => {
    const { graph } = g.trace(
      ({ tokens, table }) => ({ mean: g.scope('embedding', () => g.mean(g.takeRows(table, tokens), [0, 1])) }),
      [{ tokens: g.spec('int32', [2, symbol('length')]), table: g.spec('float32', [256, 8]) }],
    );
    const outputs = Object.fromEntries(graph.outputs.map(({ name, tensor }) => [name, tensor]));
    expect(g.printGraph(outputs)).toMatchSnapshot();
  });
  it('prints the gradient of a layer as ordinary graph', () => {
    const { graph } = g.trace(
      ({ w, input }) => g.gradient(g.sum(g.gelu(g.matmul(input, w))), { w }),
      [{ w: g.spec('float32', [4, 8]), input: g.spec('float32', [symbol('rows'), 4]) }],
    );
    const outputs = Object.fromEntries(graph.outputs.map(({ name, tensor }) => [name, tensor]));
    expect(g.printGraph(outputs)).toMatchSnapshot();
  });
});

/** Branches and loops: ops that hold graphs. */
import { describe, expect, it } from 'vitest';
import { float32, type HostTensor, symbol } from '../../src/base/index.js';
import { referenceEngine } from '../../src/engine/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { AnyTensor, Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { encodeModel } from '../../src/onnx/index.js';
import { values } from '../support/compare.js';

const engines = [
  { name: 'the oracle', engine: referenceEngine() },
  { name: 'ONNX Runtime', engine: nodeEngine({ threads: 1 }) },
];
const vector = g.spec('float32', [3]);
const x = float32([3], [1, 2, 3]);
const minus = float32([3], [-1, -2, -3]);

describe.each(engines)('on $name', ({ engine }) => {
  /** What the graph gives for each input, from one compilation. */
  async function results(build: (x: Tensor) => readonly Tensor[], inputs: readonly HostTensor[], type = vector) {
    const executable = await engine.compile(
      ({ x: input }: { x: Tensor }) => Object.fromEntries(build(input).map((tensor, at) => [`y${at}`, tensor])),
      [{ x: type }],
    );
    const all: number[][][] = [];
    for (const input of inputs) {
      const found = (await executable.run([{ x: input }] as never)) as Record<string, HostTensor>;
      all.push(Object.values(found).map(values));
    }
    await executable.dispose();
    return all;
  }
  const isPositive = (t: Tensor) => g.less(0, g.sum(t));

  it('a conditional gives what the branch of its condition gives', async () => {
    const build = (t: Tensor) => {
      const twice = g.multiply(t, 2); // read by one branch, computed outside
      return g.conditional(
        isPositive(t),
        () => [g.add(twice, t), g.sum(t)],
        () => [g.exp(g.multiply(t, 0)), g.max(t)],
      );
    };
    expect(await results(build, [x, minus])).toEqual([
      [[3, 6, 9], [6]],
      [[1, 1, 1], [-1]],
    ]);
  });

  it('a branch may return what it did not compute, more than once, and a constant', async () => {
    const build = (t: Tensor) => {
      const one = g.constant('float32', [3], [1, 1, 1]);
      const outputs = g.conditional(
        isPositive(t),
        () => [t, t, one, t],
        () => {
          const negated = g.negate(t);
          return [negated, negated, negated, g.stopGradient(t)];
        },
      );
      return [...outputs, t];
    };
    expect(await results(build, [x, minus])).toEqual([
      [
        [1, 2, 3],
        [1, 2, 3],
        [1, 1, 1],
        [1, 2, 3],
        [1, 2, 3],
      ],
      [
        [1, 2, 3],
        [1, 2, 3],
        [1, 2, 3],
        [-1, -2, -3],
        [-1, -2, -3],
      ],
    ]);
  });

  it('branches nest, and read what stands around all of them', async () => {
    const build = (t: Tensor) => {
      const far = g.add(t, 10);
      return g.conditional(
        isPositive(t),
        () => {
          const near = g.multiply(t, 2);
          return g.conditional(
            g.less(5, g.max(t)),
            () => [g.add(near, far)],
            () => [g.subtract(near, far)],
          );
        },
        () => [far],
      );
    };
    const large = float32([3], [1, 2, 6]);
    expect(await results(build, [x, large, minus])).toEqual([[[-9, -8, -7]], [[13, 16, 28]], [[9, 8, 7]]]);
  });

  it('a scan hands its states on, forwards and backwards, and reads what stands around it', async () => {
    const [length, width] = [symbol('length'), 2];
    const build = (t: Tensor) => {
      const half = g.scalar(0.5);
      return [false, true].flatMap((reverse) => {
        const { states, items } = g.scan(
          [g.broadcastTo(g.scalar(1), [width]), g.scalar(0)],
          [t, g.multiply(t, 10)],
          ([total, count], [row, tens]) => ({
            states: [g.add(g.multiply(total!, half), row!), g.add(count!, 1)],
            items: [g.add(total!, tens!), count!],
          }),
          { reverse },
        );
        return [...states, ...items];
      });
    };
    const rows = float32([3, 2], [1, 2, 3, 4, 5, 6]);
    const forward = [[6.875, 8.625], [3], [11, 21, 31.5, 42.5, 53.75, 65.25], [0, 1, 2]];
    const backward = [[3.875, 5.625], [3], [15.75, 27.25, 35.5, 46.5, 51, 61], [2, 1, 0]];
    expect(await results(build, [rows], g.spec('float32', [length, width]))).toEqual([[...forward, ...backward]]);
  });

  it('a scan may stand in a branch, and a branch in a scan', async () => {
    const build = (t: Tensor) =>
      g.conditional(
        isPositive(t),
        () =>
          g.scan([g.scalar(0)], [t], ([total], [item]) => {
            const [next] = g.conditional(
              g.less(1.5, item!),
              () => [g.add(total!, item!)],
              () => [total!],
            );
            return { states: [next!], items: [g.multiply(next!, g.sum(t))] };
          }).items,
        () => [t],
      );
    expect(await results(build, [x, minus])).toEqual([[[0, 12, 30]], [[-1, -2, -3]]]);
  });
});

describe('what a branch computes', () => {
  it('stands in the branch alone', () => {
    const { graph } = g.trace(
      ({ x: t }: { x: Tensor }) => {
        const [y] = g.conditional(
          g.less(0, g.sum(t)),
          () => [g.exp(t)],
          () => [g.sin(t)],
        );
        return { y: y! };
      },
      [{ x: vector }],
    );
    const text = g.printGraph(Object.fromEntries(graph.outputs.map(({ name, tensor }) => [name, tensor])));
    expect(text).not.toMatch(/exp|sin/);
    expect(text).toMatch(/conditional\(.*\) \{whenTrue: 1 nodes, whenFalse: 1 nodes/);
    const model = new TextDecoder('latin1').decode(encodeModel(graph, 'standard').bytes);
    expect(model).toMatch(/then_branch[\s\S]*Exp/);
    expect(model).toMatch(/else_branch[\s\S]*Sin/);
  });

  it('must be of the same types in both, under a scalar condition', () => {
    const [a, b] = [g.input('a', 'float32', [2]), g.input('b', 'float32', [3])];
    const choose = (condition: AnyTensor, whenTrue: Tensor, whenFalse: Tensor) =>
      g.conditional(
        condition as Tensor<'bool'>,
        () => [whenTrue],
        () => [whenFalse],
      );
    expect(() => choose(g.less(0, a), a, a)).toThrow(/a scalar as the condition, got \[2\]/);
    expect(() => choose(g.less(0, g.sum(a)), a, b)).toThrow(/branches of equal types/);
    expect(() => choose(g.sum(a), a, a)).toThrow(/expected bool, got float32/);
  });

  it('has no gradient of its own, and asking for one is an error', () => {
    const t = g.input('t', 'float32', [3]);
    const [y] = g.conditional(
      g.less(0, g.sum(t)),
      () => [g.exp(t)],
      () => [t],
    );
    expect(() => g.gradient(g.sum(y!), { t })).toThrow(/expected an op with a gradient, got one without/);
  });
});

describe('a scan', () => {
  const step = ([total]: readonly Tensor[], [item]: readonly Tensor[]) => ({
    states: [g.add(total!, item!)],
    items: [],
  });

  it('refuses sequences of two lengths, and a state that changes its type', () => {
    const [a, b] = [g.input('a', 'float32', [2]), g.input('b', 'float32', [3])];
    expect(() => g.scan([g.scalar(0)], [a, b], step)).toThrow(/sequences of one length/);
    expect(() => g.scan([g.scalar(0)], [g.input('c', 'float32', [4, 2])], step)).toThrow(/keeps the types/);
  });
});

/** Large tensors in blocks of rows: the same values as op by op over all of them. */
import { describe, expect, it } from 'vitest';
import {
  type AnyHostTensor,
  float32,
  float32Scalar,
  type HostTensor,
  int32,
  Random,
  symbol,
} from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { crossEntropy } from '../../src/tasks/index.js';
import { updateParams } from '../../src/training/index.js';

const native = nodeEngine({ threads: 1 });
const [rows, dim] = [2048, 1024];

/** Numbers of both signs, large and small; cheap to make. */
function spread(name: string, shape: readonly number[]): HostTensor {
  const words = Random.fromSeed(3)
    .split(name)
    .bits(shape.reduce((a, b) => a * b, 1));
  return float32(
    shape,
    Float32Array.from(words, (word) => word / 2 ** 29 - 4),
  );
}

interface Case {
  readonly name: string;
  readonly inputs: Readonly<Record<string, AnyHostTensor>>;
  build(inputs: Record<string, Tensor>): Record<string, Tensor>;
}

const large = { x: spread('x', [rows, dim]), given: spread('given', [rows, dim]) };
const weighted = (y: Tensor, given: Tensor) => g.sum(g.multiply(y, g.stopGradient(given)));

const cases: readonly Case[] = [
  {
    name: 'the gradient of GELU',
    inputs: large,
    build: ({ x, given }) => g.gradient(weighted(g.gelu(x!), given!), { x: x! }),
  },
  {
    name: 'the gradient of layer normalisation',
    inputs: { ...large, weight: spread('weight', [dim]), bias: spread('bias', [dim]) },
    build: ({ x, given, weight, bias }) =>
      g.gradient(weighted(g.layerNorm(x!, weight!, bias!), given!), { x: x!, weight: weight!, bias: bias! }),
  },
  {
    name: 'cross-entropy and its gradient',
    inputs: {
      x: large.x,
      targets: int32(
        [rows],
        Int32Array.from({ length: rows }, (_, row) => (row * 37) % dim),
      ),
    },
    build: ({ x, targets }: { x?: Tensor; targets?: Tensor<'int32'> }) => {
      const losses = crossEntropy(x!, targets!);
      return { losses, ...g.gradient(g.sum(losses), { x: x! }) };
    },
  },
  {
    name: 'the update of AdamW',
    inputs: {
      param: large.x,
      given: large.given,
      first: spread('first', [rows, dim]),
      second: float32(
        [rows, dim],
        spread('second', [rows, dim]).data.map((value) => value * value),
      ),
      rate: float32Scalar(0.01),
      update: float32Scalar(7),
    },
    build: ({ param, given, first, second, rate, update }) => {
      const { params, moments } = updateParams(
        { w: param! },
        { w: given! },
        { firstMoment: { w: first! }, secondMoment: { w: second! } },
        { learningRate: rate!, update: update! },
      );
      return { param: params.w, first: moments.firstMoment.w, second: moments.secondMoment.w };
    },
  },
];

describe.each(cases)('$name', ({ inputs, build }) => {
  /** The specifications, with `count` for the number of rows: a symbol keeps the plain form. */
  const specs = (count: typeof rows | ReturnType<typeof symbol>) =>
    Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => [
        name,
        g.spec(dtype, shape[0] === rows ? [count, ...shape.slice(1)] : shape),
      ]),
    );
  const printed = (count: Parameters<typeof specs>[0]) => {
    const { result } = g.trace((tensors: Record<string, Tensor>) => build(tensors), [specs(count)] as never);
    return g.printGraph(result as Record<string, Tensor>);
  };
  const run = async (count: Parameters<typeof specs>[0]) => {
    const executable = await native.compile((tensors: Record<string, Tensor>) => build(tensors), [
      specs(count),
    ] as never);
    const found = (await executable.run([inputs] as never)) as Record<string, HostTensor>;
    await executable.dispose();
    return found;
  };

  it('runs in blocks where the size is known and large, and gives every bit of the plain form', async () => {
    expect(printed(rows)).toMatch(/= scan\(/);
    expect(printed(symbol('rows'))).not.toMatch(/= scan\(/);
    const blocked = await run(rows);
    const plain = await run(symbol('rows'));
    for (const [name, { data }] of Object.entries(plain)) {
      const bits = (values: HostTensor['data']) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      expect(bits(blocked[name]!.data).equals(bits(data)), name).toBe(true);
    }
  });
});

describe('inBlocks', () => {
  const blocksOf = (shape: readonly number[]) =>
    g.printGraph({ y: g.inBlocks([g.input('x', 'float32', shape)], ([x]) => [g.exp(x)])[0] });

  it('prints as a scan over blocks beside the plain form, which has its gradient', () => {
    expect(blocksOf([2, 1024, 1024])).toMatchSnapshot();
  });
  it('leaves small tensors, single rows and rows that no block divides as they are', () => {
    for (const shape of [[1024, 1024], [2 ** 22], [1, 2 ** 22], [131_101, 64]]) {
      expect(blocksOf(shape), String(shape)).not.toMatch(/scan/);
    }
  });
  it('refuses tensors whose rows are not the same', () => {
    const [a, b] = [g.input('a', 'float32', [4, 2]), g.input('b', 'float32', [5, 2])];
    expect(() => g.inBlocks([a, b], (own) => own)).toThrow(
      /inBlocks: expected tensors of the same leading dimensions, got \[4, 2\] and \[5, 2\]/,
    );
  });
});

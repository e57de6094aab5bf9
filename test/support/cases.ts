/** Small graphs, each with inputs drawn from a seed: what every op is tested on. */
import type { AnyHostTensor, HostTensor } from '../../src/base/index.js';
import { float32, Random } from '../../src/base/index.js';
import type { AnyTensor, Tensor } from '../../src/graph/index.js';
import * as g from '../../src/graph/index.js';
import { inBlocksOf } from '../../src/graph/ops/in-blocks.js';

export interface OpCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, AnyHostTensor>>;
  build(inputs: Record<string, Tensor>): AnyTensor;
  /** The gradient is compared with finite differences unless this is false. */
  readonly differentiable?: boolean;
}

/** Normal deviates of a shape. */
export function normal(name: string, shape: readonly number[], scale = 1, shift = 0): HostTensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return float32(
    shape,
    Random.fromSeed(7)
      .split(name)
      .normals(count)
      .map((value) => shift + scale * value),
  );
}

const x = normal('x', [2, 3, 4]);
const positive = float32(
  [2, 3, 4],
  x.data.map((value) => Math.abs(value) + 0.5),
);
const indices: HostTensor<'int32'> = { dtype: 'int32', shape: [2, 3], data: Int32Array.of(0, 4, 2, 4, 1, 0) };
const words: HostTensor<'uint32'> = {
  dtype: 'uint32',
  shape: [4],
  data: Uint32Array.of(1, 77, 4_000_000_000, 123_456_789),
};

function unary(name: keyof typeof g, input: HostTensor = x, differentiable = true): OpCase {
  const op = g[name] as (x: Tensor) => Tensor;
  return { name, inputs: { x: input }, build: ({ x: value }) => op(value!), differentiable };
}

function binary(name: keyof typeof g, a: HostTensor, b: HostTensor, label = ''): OpCase {
  const op = g[name] as (a: Tensor, b: Tensor) => Tensor;
  return { name: `${name}${label}`, inputs: { a, b }, build: (inputs) => op(inputs.a!, inputs.b!) };
}

const row = normal('row', [4], 0.3, 2);

export const opCases: readonly OpCase[] = [
  ...(
    [
      'negate',
      'exp',
      'sin',
      'cos',
      'tanh',
      'sigmoid',
      'softplus',
      'erf',
      'abs',
      'relu',
      'gelu',
      'silu',
      'square',
    ] as const
  ).map((name) => unary(name)),
  ...(['log', 'sqrt', 'reciprocal'] as const).map((name) => unary(name, positive)),
  unary('acos', normal('x', [2, 3, 4], 0.2)),
  ...(['sign', 'floor'] as const).map((name) => unary(name, x, false)),
  ...(['add', 'subtract', 'multiply', 'divide', 'maximum', 'minimum'] as const).flatMap((name) => [
    binary(name, x, row, ' over a row'),
    binary(name, normal('column', [3, 1]), positive, ' over a column'),
  ]),
  binary('power', positive, row),
  ...[[], [-1], [0, 2], [1]].flatMap((axes) => [
    {
      name: `sum [${axes}]`,
      inputs: { x },
      build: ({ x }: Record<string, Tensor>) => g.sum(x!, axes.length ? axes : undefined),
    },
    {
      name: `max [${axes}]`,
      inputs: { x },
      build: ({ x }: Record<string, Tensor>) => g.max(x!, axes.length ? axes : undefined, true),
    },
    {
      name: `mean [${axes}]`,
      inputs: { x },
      build: ({ x }: Record<string, Tensor>) => g.mean(x!, axes.length ? axes : undefined),
    },
  ]),
  { name: 'logSumExp', inputs: { x }, build: ({ x }) => g.logSumExp(x!, -1) },
  { name: 'cumulativeSum exclusive', inputs: { x }, build: ({ x }) => g.cumulativeSum(x!, 1, { exclusive: true }) },
  { name: 'cumulativeSum reverse', inputs: { x }, build: ({ x }) => g.cumulativeSum(x!, -1, { reverse: true }) },
  { name: 'reshape', inputs: { x }, build: ({ x }) => g.reshape(x!, [6, 4]) },
  { name: 'transpose', inputs: { x }, build: ({ x }) => g.transpose(x!, [2, 0, 1]) },
  { name: 'broadcastTo', inputs: { x: row }, build: ({ x }) => g.broadcastTo(x!, [2, 3, 4]) },
  { name: 'concatenate', inputs: { x, y: positive }, build: ({ x, y }) => g.concatenate([x!, y!, x!], 1) },
  { name: 'slice', inputs: { x }, build: ({ x }) => g.slice(x!, 1, 1, 3) },
  { name: 'pad', inputs: { x }, build: ({ x }) => g.pad(x!, 1, 1, 2, 5) },
  {
    name: 'exactSequenceAttention',
    inputs: { query: normal('q', [2, 3, 8]), key: normal('k', [2, 5, 8]), value: normal('v', [2, 5, 8]) },
    build: ({ query, key, value }) => g.exactSequenceAttention({ query: query!, key: key!, value: value! }, 2),
  },
  {
    name: 'exactSequenceAttention with hidden keys',
    inputs: { query: normal('q', [2, 3, 8]), key: normal('k', [2, 5, 8]), value: normal('v', [2, 5, 8]) },
    build: ({ query, key, value }) => {
      const mask = g.constant('int32', [2, 5], [1, 0, 1, 1, 0, 1, 1, 1, 1, 1]);
      return g.exactSequenceAttention({ query: query!, key: key!, value: value! }, 2, mask);
    },
  },
  { name: 'reverse', inputs: { x }, build: ({ x }) => g.reverse(x!, 1) },
  ...[false, true].flatMap((transposeLeft) =>
    [false, true].flatMap((transposeRight) =>
      [[], [3], [2, 3]].map((batch) => ({
        name: `matmul ${transposeLeft} ${transposeRight} [${batch}]`,
        inputs: {
          a: normal('a', [...batch, ...(transposeLeft ? [5, 4] : [4, 5])]),
          b: normal('b', [...batch.slice(-1), ...(transposeRight ? [6, 5] : [5, 6])]),
        },
        build: ({ a, b }: Record<string, Tensor>) => g.matmul(a!, b!, { transposeLeft, transposeRight, scale: 0.5 }),
      })),
    ),
  ),
  {
    name: 'matmul of many rows with a matrix',
    inputs: { x, w: normal('w', [4, 5]) },
    build: ({ x, w }) => g.matmul(x!, w!),
  },
  { name: 'softmax', inputs: { x }, build: ({ x }) => g.softmax(x!) },
  {
    name: 'hardmax, of equal ones the first',
    inputs: { x: float32([2, 3], Float32Array.of(1, 3, 3, -2, -5, -2)) },
    build: ({ x }) => g.hardmax(x!),
    differentiable: false,
  },
  {
    name: 'topIndices, of equal ones the first',
    inputs: { x: float32([2, 4], Float32Array.of(1, 3, 3, 0, -2, -5, -2, -1)) },
    build: ({ x }) => g.topIndices(x!, 3),
    differentiable: false,
  },
  {
    name: 'addRows',
    inputs: { x: normal('x', [6, 4]) },
    build: ({ x }) => g.addRows(g.constant('int32', [6], [0, 4, 2, 4, 1, 0]), x!, 5),
  },
  {
    name: 'layerNorm',
    inputs: { x, weight: row, bias: normal('bias', [4]) },
    build: ({ x, weight, bias }) => g.layerNorm(x!, weight!, bias!),
  },
  { name: 'rmsNorm', inputs: { x, weight: row }, build: ({ x, weight }) => g.rmsNorm(x!, weight!) },
  {
    name: 'inBlocks of 2 rows, two results, with a vector read whole',
    inputs: { x, scale: normal('scale', [2, 3, 1]), weight: row },
    build: ({ x, scale, weight }) => {
      const [weighted, total] = inBlocksOf(2, [x!, scale!], ([rows, factor]) => {
        const product = g.multiply(g.multiply(rows, factor), weight!);
        return [product, g.tanh(g.sum(product, -1, true))];
      });
      return g.multiply(weighted, total);
    },
  },
  { name: 'where', inputs: { x, y: positive }, build: ({ x, y }) => g.where(g.less(x!, 0), g.multiply(x!, 2), y!) },
  {
    name: 'takeRows',
    inputs: { table: normal('table', [5, 3]), indices },
    build: ({ table, indices }: { table?: Tensor; indices?: Tensor<'int32'> }) => g.takeRows(table!, indices!),
  },
  {
    name: 'invertIndices',
    inputs: { indices: { dtype: 'int32', shape: [5], data: Int32Array.of(3, 0, 6, 1, 4) } },
    build: ({ indices }: { indices?: Tensor<'int32'> }) => g.invertIndices(indices!, 7),
    differentiable: false,
  },
  {
    name: 'oneHot',
    inputs: { indices },
    build: ({ indices }: { indices?: Tensor<'int32'> }) => g.oneHot(indices!, 5),
    differentiable: false,
  },
  { name: 'argMax', inputs: { x }, build: ({ x }) => g.argMax(x!, 1), differentiable: false },
  {
    name: 'bits',
    inputs: { words },
    build: ({ words }: { words?: Tensor<'uint32'> }) =>
      g.bitwiseXor(g.multiply(words!, g.scalar(2_654_435_769, 'uint32')), g.shiftRight(words!, 7)),
    differentiable: false,
  },
  { name: 'range', inputs: { x }, build: ({ x }) => g.add(x!, g.cast(g.range(4), 'float32')) },
  {
    name: 'rotary',
    inputs: { x: normal('x', [2, 3, 8]), cosine: normal('c', [2, 3, 2]), sine: normal('s', [2, 3, 2]) },
    build: ({ x, cosine, sine }) => g.rotary(x!, g.stopGradient(cosine!), g.stopGradient(sine!), 2),
  },
];

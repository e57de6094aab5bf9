/** Dense products with constant weights of 8 and 4 bits. */
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type NodeProto } from 'onnx-buf';
import { describe, expect, test } from 'vitest';
import { float32, type HostTensor, symbol } from '../../src/base/index.js';
import { linear } from '../../src/blocks/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { webEngine } from '../../src/engine/web.js';
import { GenerationSession } from '../../src/generation/index.js';
import { matmul, spec, specsOf, type Tensor, trace } from '../../src/graph/index.js';
import { createEmbedder, type ModelInputs } from '../../src/models/index.js';
import { encodeModel, type ProductDtype } from '../../src/onnx/index.js';
import { toInt4, toInt8 } from '../../src/onnx/quantize.js';
import { Evaluator } from '../../src/training/index.js';
import { normal } from '../support/cases.js';
import { values } from '../support/compare.js';
import { randomModel } from '../support/model-conformance.js';
import { snapshotOf, taskFor } from '../support/tiny.js';

const dtypes = ['int8', 'int4'] as const;
const plain = nodeEngine({ threads: 1 });
const engines = {
  int8: nodeEngine({ threads: 1, dtype: 'int8' }),
  int4: nodeEngine({ threads: 1, dtype: 'int4' }),
};

/** |a − b| / |b|, of all values together. */
function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const norm = (list: readonly number[]) => Math.sqrt(list.reduce((sum, value) => sum + value * value, 0));
  return norm(Array.from(b, (value, at) => a[at]! - value)) / norm(Array.from(b));
}

describe('a weight', () => {
  const [inputs, outputs] = [45, 3];
  const { data } = normal('weight', [inputs, outputs]);
  const matrix = { data, inputs, outputs, inputStep: outputs, outputStep: 1 };

  test('of 8 bits is within half a step of each output', () => {
    const { values: own, scales } = toInt8(matrix);
    for (let at = 0; at < data.length; at++) {
      const scale = scales[at % outputs]!;
      expect(Math.abs(own[at]! * scale - data[at]!)).toBeLessThanOrEqual(scale * 0.5001);
    }
    expect(Math.max(...own.map(Math.abs))).toBe(63); // of which two products with a byte fit in 16 bits
  });

  test('of 4 bits is within half a step of each block, of which the last is padded, but for the largest of the other sign', () => {
    const { values: own, scales } = toInt4(matrix);
    expect([own.length, scales.length]).toEqual([outputs * 2 * 16, outputs * 2]);
    for (let input = 0; input < 64; input++) {
      for (let output = 0; output < outputs; output++) {
        const place = output * 64 + input;
        const value = (place % 2 === 0 ? own[place >> 1]! & 15 : own[place >> 1]! >> 4) - 8;
        const scale = scales[output * 2 + (input >> 5)]!;
        const expected = input < inputs ? data[input * outputs + output]! : 0;
        const bound = Math.abs(scale) * (value === 7 ? 1.0001 : 0.5001);
        expect(Math.abs(value * scale - expected), `${input} ${output}`).toBeLessThanOrEqual(bound);
      }
    }
  });

  test('of zeros stays so', () => {
    const zeros = { ...matrix, data: new Float32Array(data.length) };
    expect(toInt8(zeros).values.every((value) => value === 0)).toBe(true);
    expect(toInt4(zeros)).toEqual({ values: new Uint8Array(96).fill(0x88), scales: new Float32Array(6).fill(-0) });
  });
});

const weights = { weight: normal('w', [70, 40]), bias: normal('b', [40]) };
const build = (own: { weight: Tensor; bias: Tensor }, { x }: { x: Tensor }) => ({ y: linear(own, x) });
const x = normal('x', [2, 5, 70]);

async function product(engine: typeof plain, given: object, run: readonly unknown[]): Promise<HostTensor> {
  const compiled = await engine.compile(
    build as never,
    [given, { x: spec('float32', [2, symbol('rows'), 70]) }] as never,
  );
  const { y } = (await compiled.run(run as never)) as never as { y: HostTensor };
  await compiled.dispose();
  return y;
}

/** int8 has 1/63 of the largest value as a step, int4 1/8. */
const bounds = { int8: 0.02, int4: 0.15 };

describe.each(dtypes)('a dense layer in %s', (dtype) => {
  test('is nearly that of float32', async () => {
    const own = await product(engines[dtype], weights, [{}, { x }]);
    const error = relativeError(values(own), values(await product(plain, weights, [{}, { x }])));
    expect(error).toBeLessThan(bounds[dtype]);
    expect(error).toBeGreaterThan(bounds[dtype] / 20);
  });

  test('is that of float32 where its weights are inputs', async () => {
    const own = await product(engines[dtype], specsOf(weights), [weights, { x }]);
    expect(own.data).toEqual((await product(plain, specsOf(weights), [weights, { x }])).data);
  });

  test('is so in WebAssembly, too', async () => {
    const web = await webEngine({ threads: 1, dtype });
    const own = await product(web, weights, [{}, { x }]);
    expect(relativeError(values(own), values(await product(plain, weights, [{}, { x }])))).toBeLessThan(bounds[dtype]);
  });
});

function opsOf(graph: Parameters<typeof encodeModel>[0], dtype: ProductDtype) {
  const model = fromBinary(ModelProtoSchema, encodeModel(graph, 'native', { dtype }).bytes).graph!;
  const all = (nodes: readonly NodeProto[]): NodeProto[] =>
    nodes.flatMap((node) => [node, ...node.attribute.flatMap(({ g }) => (g === undefined ? [] : all(g.node)))]);
  const count = (type: string) => all(model.node).filter(({ opType }) => opType === type).length;
  return { count, names: model.initializer.map(({ name }) => name) };
}

/** Wide enough that layers are worth it; the features of attention are learned. */
const wide = randomModel('causal-language-model', {
  ...{ dim: 32, headDim: 16, tiedEmbedding: true, keyHeads: 1 },
  attention: { features: 'hedgehog', forgetting: 'gates' },
});

test('the layers of a model have fewer bits, its features, gates and narrow layers have not', () => {
  const { model, params, buffers } = wide;
  const { graph } = trace(
    (learned: object, drawn: object, inputs: ModelInputs) => ({
      logits: model.apply({ params: learned, buffers: drawn }, inputs).output,
    }),
    [params, buffers, { tokens: spec('int32', [1, symbol('length')]) }],
  );
  const { count, names } = opsOf(graph, 'int8');
  // Of two blocks queries, the output of attention and both feed-forward layers, and the logits: keys and values are 16 wide.
  expect(count('MatMulInteger')).toBe(2 * 4 + 1);
  expect(count('DynamicQuantizeLinear')).toBe(2 * 4 + 1);
  expect(names).toContain('blocks.0.attention.query.weight/int8');
  expect(names).not.toContain('blocks.0.attention.query.weight');
  expect(names).toContain('embedding.weight'); // tokens take its rows
  expect(names).toContain('blocks.0.attention.key.weight');
  expect(names.filter((name) => /features|forgetGate|Norm/.test(name) && /int8|scale$/.test(name))).toEqual([]);
  expect(opsOf(graph, 'int4').count('MatMulNBits')).toBe(2 * 4 + 1);
  expect(opsOf(graph, 'float32').count('MatMulInteger')).toBe(0);
});

describe.each(dtypes)('a model in %s', (dtype) => {
  const tokens = Int32Array.from({ length: 40 }, (_, at) => (at * 31) % 256);

  test('has nearly the logits in a session, token by token as well', async () => {
    const logits = async (engine: typeof plain) => {
      const session = await GenerationSession.create(engine, wide);
      await session.read([tokens]);
      const told = await session.step(Int32Array.of(7));
      await session.dispose();
      return told;
    };
    const error = relativeError(await logits(engines[dtype]), await logits(plain));
    expect(error).toBeLessThan(dtype === 'int8' ? 0.05 : 0.4);
    expect(error).toBeGreaterThan(1e-4);
  });

  test('has nearly the vectors of texts', async () => {
    const vectorOf = async (engine: typeof plain) => {
      const embedder = await createEmbedder(engine, wide);
      const [vector] = await embedder.embed([tokens]);
      await embedder.dispose();
      return vector!;
    };
    const error = relativeError(await vectorOf(engines[dtype]), await vectorOf(plain));
    expect(error).toBeLessThan(dtype === 'int8' ? 0.05 : 0.4);
    expect(error).toBeGreaterThan(1e-4);
  });
});

test('an evaluation has nearly the loss, and knows the weights alone that it was compiled with', async () => {
  const snapshot = snapshotOf({ dim: 32, headDim: 16 });
  const task = await taskFor(snapshot);
  const evaluator = new Evaluator(engines.int8, task);
  const { chosen } = await evaluator.run(snapshot);
  const exact = new Evaluator(plain, task);
  const { chosen: expected } = await exact.run(snapshot);
  expect(Math.abs(chosen - expected)).toBeLessThan(0.01);
  expect(chosen).not.toBe(expected);
  await expect(evaluator.run({ ...snapshot, params: { ...snapshot.params } })).rejects.toThrow(
    /compiled with, got others/,
  );
  for (const each of [evaluator, exact]) await each.dispose();
});

test('a dtype that there is not is refused', () => {
  expect(() => nodeEngine({ dtype: 'int2' as 'int4' })).toThrow(/expected float32, int8, int4 as dtype, got int2/);
});

test('only the weight of a dense layer has fewer bits', async () => {
  const other = ({ w }: { w: Tensor }, { rows }: { rows: Tensor }) => ({ y: matmul(rows, w) });
  const given = [{ w: float32([40, 40], normal('o', [40, 40]).data) }, { rows: spec('float32', [3, 40]) }] as const;
  const { graph } = trace(other, given);
  expect(opsOf(graph, 'int8').count('MatMulInteger')).toBe(0);
});

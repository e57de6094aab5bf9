import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type NodeProto } from 'onnx-buf';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { drawBuffers, float32, initialize, int32, Random, symbol } from '../../src/base/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import {
  add,
  erf,
  exp,
  gradient,
  log,
  matmul,
  multiply,
  reshape,
  scalar,
  scan,
  spec,
  sqrt,
  sum,
  type Tensor,
  trace,
  transpose,
  withGradient,
} from '../../src/graph/index.js';
import { languageModelConfig, modelOf } from '../../src/models/index.js';
import { encodeModel } from '../../src/onnx/index.js';
import { GraphWriter } from '../../src/onnx/writer.js';
import { largestError } from '../support/compare.js';
import { tinyModel } from '../support/tiny.js';

const languageModel = modelOf(languageModelConfig(tinyModel));
const params: object = initialize(languageModel.params, Random.fromSeed(1));
const buffers: object = drawBuffers(languageModel.buffers, Random.fromSeed(2));

function build(learned: object, drawn: object, { tokens }: { tokens: Tensor<'int32'> }) {
  return { logits: languageModel.apply({ params: learned, buffers: drawn }, { tokens }).output };
}

const specs = [params, buffers, { tokens: spec('int32', [1, symbol('length')]) }] as const;

function nodesOf(nodes: readonly NodeProto[]): NodeProto[] {
  return nodes.flatMap((node) => [
    node,
    ...node.attribute.flatMap(({ g }) => (g === undefined ? [] : nodesOf(g.node))),
  ]);
}

function nodesWritten(graph: Parameters<typeof encodeModel>[0]): NodeProto[] {
  return fromBinary(ModelProtoSchema, encodeModel(graph, 'standard').bytes).graph!.node;
}

describe('an ONNX model', () => {
  it('has one reshape for several in a row, and for a transpose that moves axes of one element', () => {
    const { graph } = trace(
      ({ x }: { x: Tensor }) => ({ y: exp(reshape(transpose(reshape(x, [2, 1, 3, 4]), [0, 2, 1, 3]), [6, 4])) }),
      [{ x: spec('float32', [2, 12]) }],
    );
    const nodes = nodesWritten(graph);
    expect(nodes.map(({ opType }) => opType)).toEqual(['Reshape', 'Exp']);
    expect(nodes[0]!.input[0]).toBe('x');
  });

  it('keeps a transpose that moves elements, and axes whose size is not known', () => {
    const length = symbol('length');
    const { graph } = trace(
      ({ x, z }: { x: Tensor; z: Tensor }) => ({ y: transpose(x, [1, 0]), w: transpose(z, [0, 2, 1, 3]) }),
      [{ x: spec('float32', [2, 3]), z: spec('float32', [2, length, 1, 4]) }],
    );
    expect(nodesWritten(graph).map(({ opType }) => opType)).toEqual(['Transpose', 'Transpose']);
  });

  it('has a single number with as many axes as rows of one number beside it, which the engine is slow without', () => {
    const { graph } = trace(
      ({ x, y, z }: { x: Tensor; y: Tensor; z: Tensor }) => ({ u: multiply(add(x, 2), z), v: multiply(y, 2) }),
      [{ x: spec('float32', [5, 3, 1]), y: spec('float32', [5, 3]), z: spec('float32', [1]) }],
    );
    const { node, initializer } = fromBinary(ModelProtoSchema, encodeModel(graph, 'standard').bytes).graph!;
    expect(node.map(({ opType }) => opType)).toEqual(['Add', 'Reshape', 'Mul', 'Mul']);
    const axesOf = (name: string) => initializer.find((each) => each.name === name)?.dims.length;
    expect([node[0], node[3]].map((each) => axesOf(each!.input[1]!))).toEqual([3, 0]);
    expect(axesOf(node[1]!.input[1]!)).toBe(1);
    expect(node[2]!.input[1]).toBe(node[1]!.output[0]);
  });

  it('for the standard target has no op of ONNX Runtime’s own, and computes the same', async () => {
    const { graph } = trace(build as never, specs as never) as never as { graph: Parameters<typeof encodeModel>[0] };
    const model = encodeModel(graph, 'standard');
    const proto = fromBinary(ModelProtoSchema, model.bytes);
    expect(nodesOf(proto.graph!.node).filter(({ domain }) => domain !== '')).toEqual([]);
    expect(proto.opsetImport.map(({ domain }) => domain)).toEqual(['']);
    const session = await InferenceSession.create(model.bytes, { externalData: [...model.externalData] });
    const tokens = int32(
      [1, 40],
      Array.from({ length: 40 }, (_, i) => (i * 37) % 256),
    );
    const result = await session.run({ tokens: new OrtTensor('int32', tokens.data, [1, 40]) });
    const native = await nodeEngine({ threads: 1 }).compile(build as never, specs as never);
    const { logits } = (await native.run([{ tokens }] as never)) as {
      logits: ReturnType<typeof float32>;
    };
    expect(largestError(float32([1, 40, 256], result.logits!.data as Float32Array), logits)).toBeLessThan(1e-5);
  });

  it('names its inputs and outputs by their paths, and keeps inputs and outputs of one name apart', () => {
    const { graph } = trace(
      ({ layer }) => ({ layer: { weight: multiply(layer.weight, 2) }, same: layer.weight }),
      [{ layer: { weight: spec('float32', [2]) } }],
    );
    const proto = fromBinary(ModelProtoSchema, encodeModel(graph, 'native').bytes);
    expect(proto.graph!.input.map(({ name }) => name)).toEqual(['layer.weight']);
    expect(proto.graph!.output.map(({ name }) => name)).toEqual(['next.layer.weight', 'same']);
  });

  it('writes equal nodes once', () => {
    const { graph } = trace(
      ({ a }) => ({ y: sum(multiply(matmul(a, a), matmul(a, a))) }),
      [{ a: spec('float32', [2, 2]) }],
    );
    const proto = fromBinary(ModelProtoSchema, encodeModel(graph, 'native').bytes);
    expect(proto.graph!.node.filter(({ opType }) => opType === 'MatMul')).toHaveLength(1);
  });

  it('leaves out what only unread outputs of a composite or unread items of a loop need, and keeps what a loop reads', () => {
    const { graph } = trace(
      ({ a }) => {
        const [read] = withGradient([a], [exp(a), log(a)], ([g]) => [g]);
        const { items } = scan([scalar(0)], [sqrt(a), read!], ([total], [root, own]) => ({
          states: [add(total!, sum(own!))],
          items: [multiply(root!, total!), erf(root!)],
        }));
        return { before: items[0]! };
      },
      [{ a: spec('float32', [3, 2]) }],
    );
    const { node } = fromBinary(ModelProtoSchema, encodeModel(graph, 'native').bytes).graph!;
    const types = node.map(({ opType }) => opType);
    expect(types).not.toContain('Log');
    expect(types).toEqual(expect.arrayContaining(['Exp', 'Sqrt', 'Scan']));
    const loop = node.find(({ opType }) => opType === 'Scan')!;
    expect(loop.output).toHaveLength(2); // the last state and the item that is read
    const body = loop.attribute.find(({ name }) => name === 'body')!.g!;
    expect(body.node.map(({ opType }) => opType)).not.toContain('Erf');
  });

  it('names each node after the place in the model that it came from', () => {
    const { graph } = trace(
      (learned, drawn, x) => ({ g: gradient(sum(build(learned, drawn, x).logits), learned) }),
      [params, buffers, { tokens: spec('int32', [1, 16]) }].map((tree) => tree) as never,
    ) as never as { graph: Parameters<typeof encodeModel>[0] };
    const proto = fromBinary(ModelProtoSchema, encodeModel(graph, 'native').bytes);
    const paths = new Set(proto.graph!.node.map(({ name }) => name.split('/')[0]));
    expect(paths).toContain('blocks.1.attention');
    expect(paths).toContain('blocks.0.feedForward.gradient');
  });
});

it('constants are written once where they are equal as they are stored, zeros of both signs being two', () => {
  const writer = new GraphWriter('standard');
  const constant = (value: number) => writer.constant('float32', [1], [value]);
  expect(constant(0.1)).toBe(constant(Math.fround(0.1)));
  expect(constant(0)).not.toBe(constant(-0));
  expect(writer.initializers).toHaveLength(3);
});

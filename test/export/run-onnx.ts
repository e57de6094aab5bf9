/** Running the bytes of an exported model in a runtime alone. */
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type NodeProto } from 'onnx-buf';
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';
import { type AnyHostTensor, type HostTensor, leavesOf } from '../../src/base/index.js';

export interface Runtime {
  readonly InferenceSession: { create(bytes: Uint8Array, options: object): Promise<InferenceSession> };
  readonly Tensor: TensorConstructor;
}

export type Feeds = Readonly<Record<string, Pick<HostTensor, 'dtype' | 'shape' | 'data'> | AnyHostTensor>>;

/** The arrays of a tree by their paths. */
export function feedsOf(tree: object): Feeds {
  return Object.fromEntries(leavesOf(tree)) as Feeds;
}

/** A model in a runtime: arrays by name in, arrays by name out. */
export async function openOnnx({ InferenceSession, Tensor }: Runtime, bytes: Uint8Array) {
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1 });
  return {
    session,
    async run(feeds: Feeds): Promise<Record<string, HostTensor>> {
      const given: Record<string, Tensor> = {};
      for (const [name, { dtype, shape, data }] of Object.entries(feeds)) {
        given[name] = new Tensor(dtype as 'float32', data as Float32Array, shape);
      }
      const results = Object.entries(await session.run(given));
      return Object.fromEntries(
        results.map(([name, { type, dims, data }]) => [name, { dtype: type, shape: dims, data } as never]),
      );
    },
  };
}

/** The state before the first token as the session's inputs tell it: zeros, and nothing along axes that grow. */
export function zeroState(session: InferenceSession, batch: number): Feeds {
  const parts = session.inputMetadata.filter(({ name }) => name.startsWith('state.'));
  return Object.fromEntries(
    parts.map((part) => {
      const { name, type, shape } = part as { name: string; type: string; shape: readonly (string | number)[] };
      const own = shape.map((size) => (typeof size === 'number' ? size : size === 'batch' ? batch : 0));
      const count = own.reduce((product, size) => product * size, 1);
      const data = type === 'int32' ? new Int32Array(count) : new Float32Array(count);
      return [name, { dtype: type, shape: own, data } as never];
    }),
  );
}

/** The model of the bytes, with the nodes of all bodies. */
export function decodeOnnx(bytes: Uint8Array) {
  const model = fromBinary(ModelProtoSchema, bytes);
  const all = (nodes: readonly NodeProto[]): NodeProto[] =>
    nodes.flatMap((node) => [node, ...node.attribute.flatMap(({ g }) => (g === undefined ? [] : all(g.node)))]);
  return { ...model, nodes: all(model.graph!.node) };
}

/** From a traced graph to the bytes of an ONNX model. */
import { create, toBinary } from '@bufbuild/protobuf';
import {
  TensorProto_DataLocation as DataLocation,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProtoSchema,
} from 'onnx-buf';
import type { AnyHostTensor, HostTensor } from '../base/array.js';
import { internalError, PerformerError } from '../base/errors.js';
import type { Target } from '../graph/emitter.js';
import { lowerNodes } from '../graph/lower.js';
import { onnxDtypes } from '../graph/ops/select.js';
import { type AnyTensor, sortNodes, valueInputs } from '../graph/tensor.js';
import type { TracedGraph } from '../graph/trace.js';
import type { ProductDtype } from './quantize.js';
import { GraphWriter, valueInfo } from './writer.js';

/** An ONNX model; large constants stay outside of its bytes, as external data by name. */
export interface OnnxModel {
  readonly bytes: Uint8Array;
  readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
}

/** The first with RotaryEmbedding is 23; a standard model keeps to what other runtimes read. */
const opsetOf = (target: Target) => (target === 'standard' ? 21n : 23n);
const irVersion = 10n; // that of opset 21
/** Constants above this many bytes are kept outside, so that they are not copied and no model exceeds 2 GB. */
const externalThreshold = 4096;

/** What a model is written with beside its graph. */
export interface OnnxEncoding {
  /** Strings kept in the model, `metadata_props`; none unless given. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Whether all constants stand inside of its bytes, which must stay below 2 GB; not unless given. */
  readonly isWhole?: boolean | undefined;
  /** How products of dense layers with constant weights are computed; float32 unless given. */
  readonly dtype?: ProductDtype | undefined;
}

function constantProto(
  name: string,
  value: AnyHostTensor,
  external: { path: string; data: Uint8Array }[] | undefined,
): TensorProto {
  const data = new Uint8Array(value.data.buffer as ArrayBuffer, value.data.byteOffset, value.data.byteLength);
  const common = { name, dataType: onnxDtypes[value.dtype], dims: value.shape.map(BigInt) };
  if (external === undefined || data.length <= externalThreshold)
    return create(TensorProtoSchema, { ...common, rawData: data });
  external.push({ path: name, data });
  return create(TensorProtoSchema, {
    ...common,
    dataLocation: DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: name },
      { key: 'offset', value: '0' },
      { key: 'length', value: String(data.length) },
    ],
  });
}

/** Gives the values that leave the graph the names of its outputs; one that has a name of its own is copied. */
function nameOutputs(writer: GraphWriter, outputs: readonly { name: string; value: string }[]): void {
  const renamed = new Map<string, string>();
  const produced = new Set(writer.nodes.flatMap(({ output }) => output));
  for (const { name, value } of outputs) {
    if (produced.has(value) && !renamed.has(value)) renamed.set(value, name);
    else writer.nodes.push(identity(renamed.get(value) ?? value, name));
  }
  const rename = (list: string[]) => list.forEach((value, at) => (list[at] = renamed.get(value) ?? value));
  const visit = (nodes: readonly NodeProto[]) => {
    for (const node of nodes) {
      rename(node.input);
      rename(node.output);
      for (const { g } of node.attribute) if (g !== undefined) visit(g.node);
    }
  };
  visit(writer.nodes);
}

function identity(from: string, to: string): NodeProto {
  const writer = new GraphWriter('standard');
  writer.emit('Identity', [from]);
  const [node] = writer.nodes;
  if (node === undefined) throw internalError('no identity node');
  node.name = `/Identity_${to}`;
  node.output = [to];
  return node;
}

/**
 * The nodes that the outputs need, in their order. A composite with a gradient of its own names all of its outputs, and
 * the engine would run those that nobody reads and keep what they are computed from until it does.
 */
function neededNodes(nodes: readonly NodeProto[], outputs: readonly string[]): NodeProto[] {
  const needed = new Set(outputs);
  const addInputs = ({ input, attribute }: NodeProto) => {
    for (const name of input) needed.add(name);
    for (const { g } of attribute) g?.node.forEach(addInputs);
  };
  const read = (node: NodeProto) => {
    if (node.opType === 'Scan') dropItems(node, needed);
    if (node.opType === 'If') dropResults(node, needed);
    for (const { g } of node.attribute) {
      const own = g?.output.map(({ name }) => name) ?? [];
      if (g !== undefined) g.node = neededNodes(g.node, own);
    }
    addInputs(node);
  };
  return nodes
    .toReversed()
    .filter((node) => {
      const isNeeded = node.output.some((name) => needed.has(name));
      if (isNeeded) read(node);
      return isNeeded;
    })
    .reverse();
}

/** What the nodes, and those of their bodies, read and give. */
function namesRead(nodes: readonly NodeProto[]): Set<string> {
  const names = nodes.flatMap(({ input, attribute }) => [
    ...input,
    ...attribute.flatMap(({ g }) =>
      g === undefined ? [] : [...namesRead(g.node), ...g.output.map(({ name }) => name)],
    ),
  ]);
  return new Set(names);
}

/** Takes the items of a loop that nobody reads out of its body, with what they alone are computed from. */
function dropItems(node: NodeProto, needed: ReadonlySet<string>): void {
  const attribute = (name: string) => node.attribute.find((each) => each.name === name);
  const body = attribute('body')?.g;
  const directions = attribute('scan_output_directions');
  if (body === undefined || directions === undefined) throw internalError('a Scan without a body');
  const states = node.input.length - Number(attribute('num_scan_inputs')?.i);
  const isKept = (at: number) => at < states || needed.has(node.output[at] as string);
  directions.ints = directions.ints.filter((_, at) => isKept(states + at));
  body.output = body.output.filter((_, at) => isKept(at));
  node.output = node.output.filter((_, at) => isKept(at));
}

/** Takes the results of a choice that nobody reads out of both branches, with what they alone are computed from. */
function dropResults(node: NodeProto, needed: ReadonlySet<string>): void {
  const isKept = node.output.map((name) => needed.has(name));
  for (const { g } of node.attribute) {
    if (g === undefined) throw internalError('an If without a branch');
    g.output = g.output.filter((_, at) => isKept[at]);
  }
  node.output = node.output.filter((_, at) => isKept[at]);
}

/**
 * Writes the graph as an ONNX model for a target: opset 21 for `standard`, 23 for the others. Throws CONFIG where an op writes
 * nodes of another operator set for `standard`.
 */
export function encodeModel(
  { inputs, constants, outputs }: TracedGraph,
  target: Target,
  { metadata = {}, isWhole = false, dtype = 'float32' }: OnnxEncoding = {},
): OnnxModel {
  const weights = () => new Map(constants.map(({ name, value }) => [name, value as HostTensor]));
  const products = dtype === 'float32' ? undefined : { dtype, weights: weights() };
  const writer = new GraphWriter(target, undefined, products);
  for (const { name, tensor } of [...inputs, ...constants]) writer.declareInput(name, tensor.dtype, tensor.shape);
  const values = new Map<AnyTensor, string>();
  const nodes = sortNodes(
    outputs.map(({ tensor }) => tensor),
    valueInputs,
  );
  lowerNodes(nodes, writer, values);
  if (target === 'standard' && writer.domains.length > 0) {
    const got = `one of ${writer.domains.join(', ')}`;
    throw new PerformerError('CONFIG', `encodeModel: expected standard operators of every op, got ${got}.`);
  }
  nameOutputs(
    writer,
    outputs.map(({ name, tensor }) => ({ name, value: values.get(tensor) as string })),
  );
  const needed = neededNodes(
    writer.nodes,
    outputs.map(({ name }) => name),
  );
  const read = namesRead(needed);
  const externalData: { path: string; data: Uint8Array }[] = [];
  const bound = constants.filter(({ name }) => read.has(name));
  const model = create(ModelProtoSchema, {
    irVersion,
    producerName: 'performer-ts',
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    opsetImport: [
      { domain: '', version: opsetOf(target) },
      ...writer.domains.map((domain) => ({ domain, version: 1n })),
    ],
    graph: {
      name: 'performer',
      node: needed,
      input: inputs.map(({ name, tensor }) => valueInfo(name, tensor.dtype, tensor.shape)),
      output: outputs.map(({ name, tensor }) => valueInfo(name, tensor.dtype, tensor.shape)),
      initializer: [
        ...writer.initializers.filter(({ name }) => read.has(name)),
        ...bound.map(({ name, value }) => constantProto(name, value, isWhole ? undefined : externalData)),
      ],
    },
  });
  return { bytes: toBinary(ModelProtoSchema, model), externalData };
}

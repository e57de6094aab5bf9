/** Writes the nodes of one ONNX graph. Equal nodes are written once, and so are equal constants. */
import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  GraphProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import type { Dtype, HostTensor } from '../base/array.js';
import { addDims, type Dim, type DimAtom, type DimTerm, formatDim } from '../base/dimension.js';
import { internalError } from '../base/errors.js';
import type { Shape } from '../base/shape.js';
import type { EmitAttribute, EmitOptions, Emitter, Subgraph, Target } from '../graph/emitter.js';
import { onnxDtypes } from '../graph/ops/select.js';
import { type AddInitializer, type DenseProducts, denseProducts } from './dense-products.js';
import type { ProductDtype } from './quantize.js';

const rawArrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const;

function rawBytes(dtype: Dtype, values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const array = dtype === 'int64' ? BigInt64Array.from(Array.from(values, BigInt)) : rawArrays[dtype].from(values);
  return new Uint8Array(array.buffer);
}

/** Equal for equal constants, of which the text of a number tells all but the sign of zero. */
function constantKey(dtype: Dtype, shape: readonly number[], values: ArrayLike<number>): string {
  const stored = dtype === 'float32' ? Float32Array.from(values) : values;
  const told = Array.from(stored, (value) => (Object.is(value, -0) ? '-0' : value));
  return `${dtype}[${shape}]${told}`;
}

export function valueInfo(name: string, dtype: Dtype, shape: Shape): ValueInfoProto {
  const dim = shape.map((size) => ({
    value:
      typeof size === 'number'
        ? { case: 'dimValue' as const, value: BigInt(size) }
        : { case: 'dimParam' as const, value: formatDim(size) },
  }));
  const tensorType = { elemType: onnxDtypes[dtype], shape: { dim } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: 'tensorType', value: tensorType } } });
}

/** The constant weights of a model that products may read, and how. */
export interface WeightsOfProducts {
  readonly dtype: Exclude<ProductDtype, 'float32'>;
  readonly weights: ReadonlyMap<string, HostTensor>;
}

/** What the writers of a model's graph and of its subgraphs have in common. */
interface SharedState {
  readonly target: Target;
  readonly constants: Map<string, string>;
  /** Those without axes, by name. */
  readonly scalars: Map<string, { readonly dtype: Dtype; readonly value: number }>;
  readonly initializers: TensorProto[];
  readonly inputs: Map<string, { dtype: Dtype; shape: Shape }>;
  readonly symbolSources: Map<string, { input: string; axis: number }>;
  readonly domains: Set<string>;
  readonly dense: DenseProducts | undefined;
  valueCount: number;
}

export class GraphWriter implements Emitter {
  /** The model path of the nodes that are being written. */
  path = '';
  readonly nodes: NodeProto[] = [];
  readonly #shared: SharedState;
  readonly #written = new Map<string, readonly string[]>();
  /** What reshapes read, by what they write. */
  readonly #origins = new Map<string, string>();

  constructor(target: Target, shared?: SharedState, products?: WeightsOfProducts) {
    this.#shared = shared ?? {
      target,
      dense: products && denseProducts(products.dtype, products.weights, (...given) => this.#addInitializer(...given)),
      constants: new Map(),
      scalars: new Map(),
      initializers: [],
      inputs: new Map(),
      symbolSources: new Map(),
      domains: new Set(),
      valueCount: 0,
    };
  }

  get target(): Target {
    return this.#shared.target;
  }
  get initializers(): TensorProto[] {
    return this.#shared.initializers;
  }
  /** The operator sets beside the standard one whose ops were written. */
  get domains(): readonly string[] {
    return [...this.#shared.domains];
  }

  /** Declares an input, from whose axes the symbols of its shape can be read. */
  declareInput(name: string, dtype: Dtype, shape: Shape): void {
    this.#shared.inputs.set(name, { dtype, shape });
    shape.forEach((dim, axis) => {
      const text = formatDim(dim);
      if (typeof dim !== 'number' && !this.#shared.symbolSources.has(text)) {
        this.#shared.symbolSources.set(text, { input: name, axis });
      }
    });
  }

  emit(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, EmitAttribute> = {},
    options: EmitOptions = {},
  ): string {
    return this.emitMany(type, inputs, attributes, options)[0] as string;
  }

  emitMany(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, EmitAttribute>,
    { domain = '', outputCount = 1 }: EmitOptions,
  ): readonly string[] {
    const hasGraph = Object.values(attributes).some((value) => typeof value === 'object' && 'graph' in value);
    const key = hasGraph ? undefined : JSON.stringify([domain, type, outputCount, inputs, attributes]);
    const known = key === undefined ? undefined : this.#written.get(key);
    if (known !== undefined) return known;
    const output = Array.from({ length: outputCount }, () => this.#newName());
    const name = `${this.path}/${type}_${this.nodes.length}`;
    const attribute = Object.entries(attributes).map(([attributeName, value]) => this.#attribute(attributeName, value));
    this.nodes.push(create(NodeProtoSchema, { opType: type, domain, name, input: [...inputs], output, attribute }));
    if (type === 'Reshape') this.#origins.set(output[0] as string, this.origin(inputs[0] as string));
    if (domain !== '') this.#shared.domains.add(domain);
    if (key !== undefined) this.#written.set(key, output);
    return output;
  }

  constant(dtype: Dtype, shape: readonly number[], values: ArrayLike<number>): string {
    const key = values.length <= 1024 ? constantKey(dtype, shape, values) : undefined;
    const known = key === undefined ? undefined : this.#shared.constants.get(key);
    if (known !== undefined) return known;
    const name = `constant/${this.#shared.initializers.length}`;
    const [dims, rawData] = [shape.map(BigInt), rawBytes(dtype, values)];
    this.#shared.initializers.push(create(TensorProtoSchema, { name, dataType: onnxDtypes[dtype], dims, rawData }));
    if (key !== undefined) this.#shared.constants.set(key, name);
    if (shape.length === 0) this.#shared.scalars.set(name, { dtype, value: values[0] as number });
    return name;
  }

  withAxes(value: string, axes: number): string {
    const shape = Array.from({ length: axes }, () => 1);
    const known = this.#shared.scalars.get(value);
    if (known !== undefined) return this.constant(known.dtype, shape, [known.value]);
    return this.emit('Reshape', [value, this.constant('int64', [axes], shape)]);
  }

  shape(shape: Shape): string {
    if (shape.every((dim) => typeof dim === 'number')) return this.constant('int64', [shape.length], shape);
    return this.emit(
      'Concat',
      shape.map((dim) => this.dimension(dim)),
      { axis: 0 },
    );
  }

  dimension(dim: Dim): string {
    if (typeof dim === 'number') return this.constant('int64', [1], [dim]);
    const source = this.#shared.symbolSources.get(dim.text);
    if (source !== undefined) {
      return this.emit('Shape', [source.input], { start: source.axis, end: source.axis + 1 });
    }
    return dim.terms.map((term) => this.#term(term)).reduce((left, right) => this.emit('Add', [left, right]));
  }

  origin(value: string): string {
    return this.#origins.get(value) ?? value;
  }

  denseProduct(rows: string, weight: string, isTransposed: boolean): string | undefined {
    return this.#shared.dense?.write(this, rows, weight, isTransposed);
  }

  #addInitializer(...[name, dataType, shape, data]: Parameters<AddInitializer>): string {
    const rawData = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const tensor = create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt), rawData });
    this.#shared.initializers.push(tensor);
    return name;
  }

  input(name: string, dtype: Dtype, shape: Shape): string {
    if (!this.#shared.inputs.has(name)) throw internalError(`the input ${name} ${dtype} ${shape} was not declared`);
    return name;
  }

  #newName(): string {
    this.#shared.valueCount++;
    return `value/${this.#shared.valueCount}`;
  }

  #term({ coefficient, atoms }: DimTerm): string {
    const product = atoms
      .map((atom) => this.#atom(atom))
      .reduce((left, right) => (left === '' ? right : this.emit('Mul', [left, right])), '');
    if (product === '') return this.dimension(coefficient);
    return coefficient === 1 ? product : this.emit('Mul', [product, this.dimension(coefficient)]);
  }

  #atom(atom: DimAtom): string {
    if (atom.kind === 'ceil') {
      const raised = this.dimension(addDims(atom.numerator, atom.divisor - 1));
      return this.emit('Div', [raised, this.dimension(atom.divisor)]);
    }
    const source = this.#shared.symbolSources.get(atom.name);
    if (source === undefined) throw internalError(`the symbol ${atom.name} is the size of no input`);
    return this.emit('Shape', [source.input], { start: source.axis, end: source.axis + 1 });
  }

  #attribute(name: string, value: EmitAttribute) {
    if (typeof value === 'number') {
      return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
    }
    if (typeof value === 'string') {
      const bytes = new TextEncoder().encode(value);
      return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: bytes });
    }
    if ('float' in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
    if ('graph' in value) {
      return create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: this.#subgraph(value.graph) });
    }
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
  }

  #subgraph({ inputs, outputs, build }: Subgraph): GraphProto {
    const body = new GraphWriter(this.target, this.#shared);
    body.path = this.path;
    const inputNames = inputs.map(() => this.#newName());
    // A body's outputs must be values that it computes itself, each once: anything else is copied.
    const named = new Set<string>();
    const outputNames = build(body, inputNames).map((value) => {
      const isOwn = body.nodes.some(({ output }) => output.includes(value));
      let name = isOwn ? value : body.emit('Identity', [value]);
      while (named.has(name)) name = body.emit('Identity', [name]);
      named.add(name);
      return name;
    });
    return create(GraphProtoSchema, {
      name: `${this.path}/body`,
      node: body.nodes,
      input: inputs.map(({ dtype, shape }, index) => valueInfo(inputNames[index] as string, dtype, shape)),
      output: outputs.map(({ dtype, shape }, index) => valueInfo(outputNames[index] as string, dtype, shape)),
    });
  }
}

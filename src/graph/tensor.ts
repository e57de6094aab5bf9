/**
 * Symbolic tensors: immutable values of a graph that is written by calling functions on them.
 *
 * A `Tensor` is one output of a `Node`; a node is an op applied to tensors. Nothing is computed here: the graph is
 * evaluated by the float64 oracle (`evaluate.ts`) or written out as ONNX and run by an engine.
 */
import type { Dtype } from '../base/array.js';
import type { Dim, DimBindings } from '../base/dimension.js';
import { PerformerError } from '../base/errors.js';
import { formatShape, type Shape } from '../base/shape.js';
import type { Emitter } from './emitter.js';

/** What is known of a tensor before anything runs. */
export interface TensorType<D extends Dtype = Dtype> {
  readonly dtype: D;
  readonly shape: Shape;
}

/** A dense array of the oracle: every dtype is held in float64 (integers exactly, booleans as 0 and 1). */
export interface DenseArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** What the oracle knows where an op is computed. */
export interface EvaluateContext {
  readonly bindings: DimBindings;
  /** The types of the node's outputs, and their shapes resolved under `bindings`. */
  readonly outputTypes: readonly TensorType[];
  readonly outputShapes: readonly (readonly number[])[];
  readonly inputTypes: readonly TensorType[];
}

/** What a differentiation rule sees; a gradient is undefined where the result does not depend on that output. */
export interface DifferentiateContext<A> {
  /** As float32, which they are wherever a gradient flows: indices and conditions get none. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly gradients: readonly (Tensor | undefined)[];
  readonly attributes: A;
}

/** An op with its four rules side by side; `D` is the dtype of its outputs. */
export interface Op<A = unknown, D extends Dtype = 'float32'> {
  readonly name: string;
  /** The types of the outputs. Throws SHAPE and DTYPE for inputs that do not fit. */
  infer(inputs: readonly TensorType[], attributes: A): readonly TensorType<D>[];
  /** How many of the inputs, from the first, the values depend on; the others serve the gradient alone. Default: all. */
  valueInputCount?(attributes: A): number;
  /** The outputs in float64, as plainly as the formula has it. */
  evaluate(inputs: readonly DenseArray[], attributes: A, context: EvaluateContext): readonly Float64Array[];
  /** Gradients of the inputs, undefined for an input that gets none; or the reason why there is no such rule. */
  readonly differentiate: ((context: DifferentiateContext<A>) => readonly (Tensor | undefined)[]) | NotDifferentiable;
  /** Writes the op for the emitter's target and returns the names of its outputs. */
  lower(emitter: Emitter, inputs: readonly string[], attributes: A, context: LowerContext): readonly string[];
}

/** In the place of the rule for the gradient: whether it is zero, or asking for it is an error. */
export interface NotDifferentiable {
  readonly notDifferentiable: 'zero' | 'error';
}

/** The derivative is zero wherever it exists: comparisons, integers, positions. */
export const zeroGradient: NotDifferentiable = { notDifferentiable: 'zero' };
/** A derivative exists and has no rule: asking for it is an error. */
export const noGradient: NotDifferentiable = { notDifferentiable: 'error' };

/** The types of what an op reads and gives, where it is written as ONNX. */
export interface LowerContext {
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly TensorType[];
}

/** An op at its place in a graph. */
export interface Node {
  readonly op: Op<unknown, Dtype>;
  readonly inputs: readonly AnyTensor[];
  readonly attributes: unknown;
  /** The model path under which the node was written, such as `blocks.0.attention`. */
  readonly path: string;
  /** The body of a loop or branch in which the node was written; undefined in the graph itself. */
  readonly region: Region | undefined;
  readonly outputs: readonly AnyTensor[];
}

/** A symbolic tensor. A plain `Tensor` is float32, as nearly all of a model is; `Tensor<'int32'>` holds tokens. */
export class Tensor<D extends Dtype = 'float32'> implements TensorType<D> {
  readonly node: Node;
  readonly dtype: D;
  readonly shape: Shape;

  constructor(node: Node, type: TensorType<D>) {
    this.node = node;
    this.dtype = type.dtype;
    this.shape = type.shape;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** The size of an axis, which may count from the end. */
  dim(axis: number): Dim {
    const size = this.shape[axis < 0 ? axis + this.rank : axis];
    if (size === undefined) throw new PerformerError('SHAPE', `dim: ${formatShape(this.shape)} has no axis ${axis}.`);
    return size;
  }

  /** The size of an axis that must be a number and no symbol. */
  staticDim(axis: number): number {
    const size = this.dim(axis);
    if (typeof size !== 'number') {
      throw new PerformerError('SHAPE', `staticDim: expected a fixed size of axis ${axis}, got ${size}.`);
    }
    return size;
  }

  toString(): string {
    return `${this.dtype} ${formatShape(this.shape)}`;
  }
}

/** A tensor of whatever dtype. */
export type AnyTensor = Tensor<Dtype>;

/** Where nodes are written: the body of a loop or of a branch, within the region that holds it. */
export class Region {
  readonly outer: Region | undefined;

  constructor(outer: Region | undefined) {
    this.outer = outer;
  }
}

let currentRegion: Region | undefined;

/** Runs `build` so that new nodes belong to a region of their own inside the current one. */
export function inRegion<T>(build: () => T): { result: T; region: Region } {
  const region = new Region(currentRegion);
  currentRegion = region;
  try {
    return { result: build(), region };
  } finally {
    currentRegion = region.outer;
  }
}

/** Whether a node exists around the region, where its body can read it; any other node belongs to the body. */
export function isAround({ outer }: Region, node: Node): boolean {
  let region = outer;
  while (region !== undefined && region !== node.region) region = region.outer;
  return region === node.region;
}

let currentPath = '';

/** Runs `build` with `name` appended to the path that new nodes carry (for errors, profiles and printing). */
export function scope<T>(name: string, build: () => T): T {
  return withPath(currentPath === '' ? name : `${currentPath}.${name}`, build);
}

/** Runs `build` with `path` as the path that new nodes carry, wherever it was called. */
export function withPath<T>(path: string, build: () => T): T {
  const outer = currentPath;
  currentPath = path;
  try {
    return build();
  } finally {
    currentPath = outer;
  }
}

/** Where in the model we are, for messages: `matmul in blocks.0.attention`. */
export function here(opName: string): string {
  return currentPath === '' ? opName : `${opName} in ${currentPath}`;
}

/** Applies an op: checks and infers the types, and returns the outputs. */
export function applyMany<A, D extends Dtype>(
  op: Op<A, D>,
  inputs: readonly AnyTensor[],
  attributes: A,
): readonly Tensor<D>[] {
  const types = op.infer(inputs, attributes);
  const outputs: Tensor<D>[] = [];
  const node: Node = {
    op: op as Op<unknown, D>,
    inputs,
    attributes,
    path: currentPath,
    region: currentRegion,
    outputs,
  };
  for (const type of types) outputs.push(new Tensor(node, type));
  return outputs;
}

/** Applies an op that has one output. */
export function apply<A, D extends Dtype>(op: Op<A, D>, inputs: readonly AnyTensor[], attributes: A): Tensor<D> {
  return applyMany(op, inputs, attributes)[0] as Tensor<D>;
}

/** Throws DTYPE unless every tensor has one of the expected dtypes. */
export function expectDtype(opName: string, tensors: readonly TensorType[], ...expected: readonly Dtype[]): void {
  for (const { dtype } of tensors) {
    if (!expected.includes(dtype)) {
      throw new PerformerError('DTYPE', `${here(opName)}: expected ${expected.join(' or ')}, got ${dtype}.`);
    }
  }
}

/** A SHAPE error of the op that is being applied. */
export function shapeError(opName: string, expected: string, ...got: readonly TensorType[]): PerformerError {
  return new PerformerError(
    'SHAPE',
    `${here(opName)}: expected ${expected}, got ${got.map(({ shape }) => formatShape(shape)).join(' and ')}.`,
  );
}

/** The inputs that the node's values are computed from. */
export function valueInputs({ op, inputs, attributes }: Node): readonly AnyTensor[] {
  return op.valueInputCount === undefined ? inputs : inputs.slice(0, op.valueInputCount(attributes));
}

/** Every node that the roots need, inputs before users. Iterative, since graphs are thousands of nodes deep. */
export function sortNodes(
  roots: readonly AnyTensor[],
  inputsOf: (node: Node) => readonly AnyTensor[] = ({ inputs }) => inputs,
): Node[] {
  const sorted: Node[] = [];
  const seen = new Set<Node>();
  const stack: { node: Node; inputs: readonly AnyTensor[]; next: number }[] = [];
  const visit = (node: Node) => {
    if (seen.has(node)) return;
    seen.add(node);
    stack.push({ node, inputs: inputsOf(node), next: 0 });
  };
  for (const root of roots) {
    visit(root.node);
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as (typeof stack)[number];
      const input = top.inputs[top.next++];
      if (input === undefined) {
        sorted.push(top.node);
        stack.pop();
      } else visit(input.node);
    }
  }
  return sorted;
}

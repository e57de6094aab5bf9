/**
 * Bodies: the graphs inside of a loop or a branch.
 *
 * A body is written by a function over tensors. What it reads of the graph around it are its captures, which its op has
 * among its inputs; every other node that its outputs need belongs to the body and is computed only where it runs.
 */
import type { Dtype } from '../base/array.js';
import type { DimBindings } from '../base/dimension.js';
import type { Emitter } from './emitter.js';
import { evaluateNodes } from './evaluate.js';
import { lowerNodes } from './lower.js';
import {
  type AnyTensor,
  apply,
  type DenseArray,
  inRegion,
  isAround,
  type Node,
  type Op,
  sortNodes,
  type TensorType,
  valueInputs,
  zeroGradient,
} from './tensor.js';

/** An argument of a body; its value is given to the body each time it runs. */
const parameterOp: Op<TensorType, Dtype> = {
  name: 'parameter',
  infer: (_, type) => [type],
  evaluate: () => [],
  differentiate: zeroGradient,
  lower: () => [],
};

export class Body {
  readonly parameters: readonly AnyTensor[];
  readonly outputs: readonly AnyTensor[];
  /** What the body reads of the graph around it. */
  readonly captures: readonly AnyTensor[];
  readonly #nodes: readonly Node[];

  /** Writes a body of arguments of the given types. */
  constructor(types: readonly TensorType[], build: (parameters: readonly AnyTensor[]) => readonly AnyTensor[]) {
    const { result, region } = inRegion(() => {
      const parameters = types.map(({ dtype, shape }) => apply(parameterOp, [], { dtype, shape }));
      return { parameters, outputs: build(parameters) };
    });
    const isOwn = ({ node }: AnyTensor) => !isAround(region, node);
    this.parameters = result.parameters;
    this.outputs = result.outputs;
    const own = sortNodes(this.outputs.filter(isOwn), (node) => valueInputs(node).filter(isOwn));
    const read = [...own.flatMap(valueInputs), ...this.outputs];
    this.captures = [...new Set(read.filter((tensor) => !isOwn(tensor)))];
    this.#nodes = own.filter(({ op }) => op.name !== parameterOp.name);
  }

  evaluate(
    parameters: readonly DenseArray[],
    captures: ReadonlyMap<AnyTensor, DenseArray>,
    bindings: DimBindings,
  ): readonly DenseArray[] {
    const values = new Map(captures);
    this.parameters.forEach((tensor, index) => values.set(tensor, parameters[index] as DenseArray));
    evaluateNodes(this.#nodes, values, bindings);
    return this.outputs.map((tensor) => values.get(tensor) as DenseArray);
  }

  lower(emitter: Emitter, parameters: readonly string[], captures: ReadonlyMap<AnyTensor, string>): readonly string[] {
    const names = new Map(captures);
    this.parameters.forEach((tensor, index) => names.set(tensor, parameters[index] as string));
    lowerNodes(this.#nodes, emitter, names);
    return this.outputs.map((tensor) => names.get(tensor) as string);
  }

  toString(): string {
    return `${this.#nodes.length} nodes`;
  }
}

/** Pairs captures with their values or names. */
export function zip<T>(tensors: readonly AnyTensor[], items: readonly T[]): Map<AnyTensor, T> {
  return new Map(tensors.map((tensor, index) => [tensor, items[index] as T]));
}

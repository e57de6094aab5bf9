/** Tracing: running a model function once on symbolic inputs to get its graph. */
import { checkArray, type Dtype, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Shape } from '../base/shape.js';
import { leavesOf, type MapLeaves, mapTree } from '../base/tree.js';
import { input } from './ops/constant.js';
import type { Tensor, TensorType } from './tensor.js';

/** The dtype and shape of an input; a shape may have symbols. */
export type TensorSpec = TensorType;

export function spec(dtype: Dtype, shape: Shape): TensorSpec {
  return { dtype, shape };
}

/** The specification of every tensor of a tree. Engines take float64 arrays where float32 is wanted. */
export function specsOf<T>(tree: T): MapLeaves<T, TensorSpec> {
  return mapTree(tree, ({ dtype, shape }: TensorSpec) => spec(dtype === 'float64' ? 'float32' : dtype, shape));
}

export interface TracedGraph {
  /** Inputs in the order of the arguments' leaves, without those that are bound to an array. */
  readonly inputs: readonly { readonly name: string; readonly tensor: Tensor }[];
  readonly constants: readonly { readonly name: string; readonly tensor: Tensor; readonly value: HostTensor }[];
  readonly outputs: readonly { readonly path: string; readonly name: string; readonly tensor: Tensor }[];
}

/** The name of an input: its path, which an argument that is one tensor does not have. */
export function inputName(path: string): string {
  return path === '' ? 'input' : path;
}

function outputName(path: string, taken: ReadonlySet<string>): string {
  if (path === '') return 'output';
  return taken.has(path) ? `next.${path}` : path;
}

/** The arguments of a traced function: symbolic tensors in the place of every leaf. */
export type SymbolicArguments<A extends readonly unknown[]> = { [I in keyof A]: MapLeaves<A[I], Tensor> };

/**
 * Traces `build(...arguments)`, given trees whose leaves are specifications of inputs, or arrays, which become constants
 * of the session. The name of an input is its path within its argument, so that a parameter is called
 * alike in the graph, in ONNX and in a checkpoint; an output is named by its path in the result, preceded by `next.`
 * where an input has that name already. An argument that is one tensor is called `input`, and such a result `output`.
 */
export function trace<A extends readonly unknown[], R>(
  build: (...inputs: SymbolicArguments<A>) => R,
  args: A,
): { readonly graph: TracedGraph; readonly result: R } {
  const inputs: { name: string; tensor: Tensor }[] = [];
  const constants: { name: string; tensor: Tensor; value: HostTensor }[] = [];
  const taken = new Set<string>();
  const symbolic = args.map((argument) =>
    mapTree(argument, (type: TensorSpec | HostTensor, path) => {
      const name = inputName(path);
      if (taken.has(name)) {
        throw new PerformerError('CONFIG', `trace: expected a name of its own for each input, got ${name} twice.`);
      }
      taken.add(name);
      const tensor = input(name, type.dtype, type.shape);
      if ('data' in type) {
        checkArray(`compile: ${name}`, type);
        constants.push({ name, tensor, value: type });
      } else inputs.push({ name, tensor });
      return tensor;
    }),
  );
  const result = build(...(symbolic as unknown as SymbolicArguments<A>));
  const outputs = leavesOf(result).map(([path, tensor]) => ({
    path,
    name: outputName(path, taken),
    tensor: tensor as unknown as Tensor,
  }));
  return { graph: { inputs, constants, outputs }, result };
}

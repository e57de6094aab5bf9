/** Tracing: running a model function once on symbolic inputs to get its graph. */
import { type AnyHostTensor, checkArray, type Dtype } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Shape } from '../base/shape.js';
import { leavesOf, mapTree } from '../base/tree.js';
import { input } from './ops/constant.js';
import type { AnyTensor, Tensor, TensorType } from './tensor.js';

/** The dtype and shape of an input; a shape may have symbols. */
export type TensorSpec<D extends Dtype = 'float32'> = TensorType<D>;

/** The type of an input: its dtype, and its shape with numbers and symbols. */
export function spec<D extends Dtype>(dtype: D, shape: Shape): TensorSpec<D> {
  return { dtype, shape };
}

/** A tree with the specification of every tensor in its place. */
export type SpecsOf<T> = T extends { readonly dtype: infer D extends Dtype; readonly shape: Shape }
  ? TensorSpec<D extends 'float64' ? 'float32' : D>
  : { [K in keyof T]: SpecsOf<T[K]> };

/** The specification of every tensor of a tree. Engines take float64 arrays where float32 is wanted. */
export function specsOf<T>(tree: T): SpecsOf<T> {
  return mapTree(tree, ({ dtype, shape }: TensorSpec<Dtype>) =>
    spec(dtype === 'float64' ? 'float32' : dtype, shape),
  ) as SpecsOf<T>;
}

/** A function over tensors as the graph that it wrote. */
export interface TracedGraph {
  /** Inputs in the order of the arguments' leaves, without those that are bound to an array. */
  readonly inputs: readonly { readonly name: string; readonly tensor: AnyTensor }[];
  readonly constants: readonly { readonly name: string; readonly tensor: AnyTensor; readonly value: AnyHostTensor }[];
  readonly outputs: readonly { readonly path: string; readonly name: string; readonly tensor: AnyTensor }[];
}

/** The name of an input: its path, which an argument that is one tensor does not have. */
export function inputName(path: string): string {
  return path === '' ? 'input' : path;
}

function outputName(path: string, taken: ReadonlySet<string>): string {
  if (path === '') return 'output';
  return taken.has(path) ? `next.${path}` : path;
}

/** A tree with a symbolic tensor of the same dtype in the place of every leaf. */
export type Symbolic<T> = T extends { readonly dtype: infer D extends Dtype; readonly shape: Shape }
  ? Tensor<D>
  : { [K in keyof T]: Symbolic<T[K]> };

/** The arguments of a traced function: symbolic tensors in the place of every leaf. */
export type SymbolicArguments<A extends readonly unknown[]> = { [I in keyof A]: Symbolic<A[I]> };

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
  const inputs: { name: string; tensor: AnyTensor }[] = [];
  const constants: { name: string; tensor: AnyTensor; value: AnyHostTensor }[] = [];
  const taken = new Set<string>();
  const symbolic = args.map((argument) =>
    mapTree(argument, (type: TensorSpec<Dtype> | AnyHostTensor, path) => {
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
  const outputs = leavesOf<R, AnyTensor>(result).map(([path, tensor]) => ({
    path,
    name: outputName(path, taken),
    tensor,
  }));
  return { graph: { inputs, constants, outputs }, result };
}

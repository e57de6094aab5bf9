/** The engine: what turns a function over symbolic tensors into one that runs. Engines are passed in, never imported. */
import type { AnyHostTensor, Dtype, HostTensor } from '../base/array.js';
import type { Shape } from '../base/shape.js';
import type { Leaf, LeafOf, MapLeaves } from '../base/tree.js';
import type { SymbolicArguments } from '../graph/trace.js';

/** A tree from which any part may be missing. */
export type PartialTree<T> = T extends Leaf ? T : { readonly [K in keyof T]?: PartialTree<T[K]> | undefined };

/** A tensor in the memory of an engine's device. */
export interface PlacedTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly isPlaced: true;
}

/** What a run reads and writes: an array of the host, or what the engine made of one by `place`. */
export type EngineTensor = AnyHostTensor | PlacedTensor;

/** Tensors that receive outputs: a tree like the result, of which any part may be absent. */
export type RunOutputs<R> = PartialTree<MapLeaves<R, EngineTensor>>;

/** Where a run writes. */
export interface RunOptions<O> {
  /** The caller's tensors that receive outputs; not those that the run reads. */
  readonly outputs?: O | undefined;
}

/** Whether all leaves of a tree are arrays: constants, once it was compiled. */
type IsConstant<T> = [LeafOf<T>] extends [never] ? false : [LeafOf<T>] extends [AnyHostTensor] ? true : false;

/** One argument of a run: tensors for the leaves that were specifications. A constant has no key, or no value in a list. */
type RunArgument<T> = T extends AnyHostTensor | undefined
  ? undefined
  : T extends Leaf
    ? EngineTensor
    : T extends readonly unknown[]
      ? { readonly [I in keyof T]: RunArgument<T[I]> }
      : { readonly [K in keyof T as IsConstant<T[K]> extends true ? never : K]: RunArgument<T[K]> };

/** The arguments of a compiled function without its constants; an argument that was constants alone is left out. */
export type RunArguments<A extends readonly unknown[]> = A extends readonly [infer First, ...infer Rest]
  ? IsConstant<First> extends true
    ? RunArguments<Rest>
    : readonly [RunArgument<First>, ...RunArguments<Rest>]
  : { readonly [I in keyof A]: RunArgument<A[I]> };

/** The result of a run: the caller's tensor where there was one, else a new array. */
export type RunResult<R, O> = R extends { readonly dtype: infer D extends Dtype; readonly shape: Shape }
  ? O extends Leaf
    ? O
    : HostTensor<D>
  : { [K in keyof R]: RunResult<R[K], K extends keyof O ? O[K] : undefined> };

/** A function that was compiled once and runs many times, for any sizes of its symbolic dimensions. */
export interface Executable<A extends readonly unknown[], R> {
  /**
   * Runs the function. Arguments find their inputs by name, so what was compiled as a constant is left out: a leaf, or an
   * argument that has no other leaves.
   *
   * @throws CONFIG for an array in the place of a constant, or for what is no input; SHAPE for arrays that do not fit, that
   *   are missing, or whose data do not fill their shape; DTYPE for those of another type; DATA for what is no tensor; DEVICE
   *   where the engine fails.
   */
  run<O extends RunOutputs<R> | undefined = undefined>(
    args: RunArguments<A>,
    options?: RunOptions<O>,
  ): Promise<RunResult<R, O>>;
  /** Frees the session. It must not run again. */
  dispose(): Promise<void>;
}

/**
 * What compiles functions over symbolic tensors and runs them: ONNX Runtime in Node or a browser. The oracle of
 * `referenceEngine` stands behind the same interface; its floating-point results are float64 arrays, whatever their type says.
 */
export interface Engine {
  readonly name: string;
  /**
   * How products of dense layers are computed whose weights were compiled as constants: with weights of 8 or 4 bits, or as all
   * else, where it is absent.
   */
  readonly products?: 'int8' | 'int4' | undefined;
  /**
   * Compiles `build`, a function over symbolic tensors. `args` are trees whose leaves are specifications (`spec`), which
   * become inputs, or arrays, which become constants of the session. Engines keep compiled sessions and share them
   * between equal graphs without large constants.
   */
  compile<const A extends readonly unknown[], R>(
    build: (...inputs: SymbolicArguments<A>) => R,
    args: A,
  ): Promise<Executable<A, R>>;
  /**
   * Takes arrays to where the engine computes, so that runs read and write them without a copy over the host. An engine
   * that computes on the host returns the arrays themselves.
   */
  place<T>(tree: T): Promise<MapLeaves<T, EngineTensor>>;
  /** The arrays of placed tensors; arrays are returned as they are. */
  fetch<T>(tree: T): Promise<MapLeaves<T, AnyHostTensor>>;
  /** Frees what `place` took elsewhere. It must not be read again. */
  free(tree: unknown): void;
}

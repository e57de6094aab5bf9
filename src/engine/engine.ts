/** The engine: what turns a function over symbolic tensors into one that runs. Engines are passed in, never imported. */
import type { HostTensor } from '../base/array.js';
import type { Leaf, MapLeaves } from '../base/tree.js';
import type { SymbolicArguments } from '../graph/trace.js';

/** A tree from which any part may be missing. */
export type PartialTree<T> = T extends Leaf ? T : { readonly [K in keyof T]?: PartialTree<T[K]> };

export interface RunOptions<R> {
  /** Buffers of the caller that receive the outputs: a tree like the result, of which any part may be absent. */
  readonly outputs?: PartialTree<MapLeaves<R, HostTensor>>;
}

/** The arguments of a compiled function: arrays for the leaves that were specifications. */
export type RunArguments<A extends readonly unknown[]> = { readonly [I in keyof A]: MapLeaves<A[I], HostTensor> };

/** A function that was compiled once and runs many times, for any sizes of its symbolic dimensions. */
export interface Executable<A extends readonly unknown[], R> {
  /** Runs the function. A leaf that was compiled as a constant is passed over. Throws SHAPE for arrays that do not fit. */
  run(args: RunArguments<A>, options?: RunOptions<R>): Promise<MapLeaves<R, HostTensor>>;
  /** Frees the session. It must not run again. */
  dispose(): Promise<void>;
}

export interface Engine {
  readonly name: string;
  /**
   * Compiles `build`, a function over symbolic tensors. `args` are trees whose leaves are specifications (`spec`), which
   * become inputs, or arrays, which become constants of the session. Engines keep compiled sessions and share them
   * between equal graphs without large constants.
   */
  compile<const A extends readonly unknown[], R>(
    build: (...inputs: SymbolicArguments<A>) => R,
    args: A,
  ): Promise<Executable<A, R>>;
}

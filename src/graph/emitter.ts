/** What an op's lowering rule writes to: a list of ONNX nodes under construction. Implemented in the onnx room. */
import type { Dtype } from '../base/array.js';
import type { Dim } from '../base/dimension.js';
import type { Shape } from '../base/shape.js';

/**
 * standard: the ONNX operator set alone · native, web: with the fused com.microsoft ops that ONNX Runtime has there ·
 * webgpu: without those that have no kernel on the GPU, since they would run on the processor.
 */
export type Target = 'standard' | 'native' | 'web' | 'webgpu';

/** An attribute of an ONNX node; a bare number is an integer. */
export type EmitAttribute =
  | number
  | readonly number[]
  | string
  | { readonly float: number }
  | { readonly graph: Subgraph };

/** The body of a Scan or a branch of an If: written by `build`, which gets the names of the body's inputs. */
export interface Subgraph {
  readonly inputs: readonly { readonly dtype: Dtype; readonly shape: Shape }[];
  readonly outputs: readonly { readonly dtype: Dtype; readonly shape: Shape }[];
  /**
   * Writes the nodes of the body with this emitter, from the names of its inputs, and returns the names of its
   * outputs.
   */
  build(emitter: Emitter, inputs: readonly string[]): readonly string[];
}

/** What an emitted node has beside its inputs and attributes. */
export interface EmitOptions {
  /** `com.microsoft` for ONNX Runtime's own ops. */
  readonly domain?: string;
  /** How many outputs are wanted; 1 unless given. */
  readonly outputCount?: number;
}

/** Where the lowering rule of an op writes its nodes. */
export interface Emitter {
  readonly target: Target;
  /** The model path of the nodes that are being written. */
  path: string;
  /** Appends a node and returns the name of its first output. An input of '' is an absent optional one. */
  emit(
    type: string,
    inputs: readonly string[],
    attributes?: Record<string, EmitAttribute>,
    options?: EmitOptions,
  ): string;
  /** Appends a node and returns the names of its outputs. */
  emitMany(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, EmitAttribute>,
    options: EmitOptions,
  ): readonly string[];
  /** The name of a constant tensor. */
  constant(dtype: Dtype, shape: readonly number[], values: ArrayLike<number>): string;
  /** The name of a value that is one number as one with so many axes, all of size 1. */
  withAxes(value: string, axes: number): string;
  /** The name of an int64 vector that holds the shape; computed in the graph where it has symbols. */
  shape(shape: Shape): string;
  /** The name of an int64 vector of one element that holds the dimension. */
  dimension(dim: Dim): string;
  /** The name of a value with the same elements in the same order, before they were reshaped. */
  origin(value: string): string;
  /**
   * The product of rows and a constant weight [inputs, outputs], or [outputs, inputs] where it is transposed, with the weight of fewer
   * bits; undefined where it is to be written as any other product.
   */
  denseProduct(rows: string, weight: string, isTransposed: boolean): string | undefined;
  /** The name of a graph input. */
  input(name: string, dtype: Dtype, shape: Shape): string;
}

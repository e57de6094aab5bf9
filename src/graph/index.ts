/** Symbolic tensors, the ops on them, their gradient, their printing and their float64 oracle. */
export type { Target } from './emitter.js';
export { evaluate } from './evaluate.js';
export { gradient, pullback } from './gradient.js';
export * from './ops/index.js';
export { printGraph } from './print.js';
export { type RecomputedInputs, recomputed } from './recompute.js';
export { type DenseArray, type Node, type Op, scope, Tensor, type TensorType } from './tensor.js';
export { inputName, type SymbolicArguments, spec, specsOf, type TensorSpec, type TracedGraph, trace } from './trace.js';

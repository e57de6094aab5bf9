/** Symbolic tensors, the ops on them, their gradient, their printing and their float64 oracle. */

export { inChunks } from './chunks.js';
export type { EmitAttribute, EmitOptions, Emitter, Subgraph, Target } from './emitter.js';
export { evaluate } from './evaluate.js';
export { gradient, pullback } from './gradient.js';
export * from './ops/index.js';
export { printGraph } from './print.js';
export { type Recomputable, type RecomputedInputs, recomputed } from './recompute.js';
export { type Coupling, reversedSum } from './reversible.js';
export {
  type AnyTensor,
  apply,
  applyMany,
  type DenseArray,
  type DifferentiateContext,
  type EvaluateContext,
  expectDtype,
  type LowerContext,
  type Node,
  type NotDifferentiable,
  noGradient,
  type Op,
  type Region,
  scope,
  shapeError,
  Tensor,
  type TensorType,
  zeroGradient,
} from './tensor.js';
export {
  inputName,
  type SpecsOf,
  type Symbolic,
  type SymbolicArguments,
  spec,
  specsOf,
  type TensorSpec,
  type TracedGraph,
  trace,
} from './trace.js';

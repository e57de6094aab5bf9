/** Engines compile functions over symbolic tensors and run them. */
export { type ChainedProducts, compileChainedProducts } from './chained-products.js';
export type {
  Engine,
  EngineTensor,
  Executable,
  PlacedTensor,
  RunArguments,
  RunOptions,
  RunOutputs,
  RunResult,
} from './engine.js';
export { referenceEngine } from './reference.js';

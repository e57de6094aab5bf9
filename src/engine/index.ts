/** Engines compile functions over symbolic tensors and run them. */
export type { Engine, Executable, RunArguments, RunOptions } from './engine.js';
export { referenceEngine } from './reference.js';

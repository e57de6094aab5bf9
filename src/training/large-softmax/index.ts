/** Softmax over very many classes: exact and sampled losses, the draws of negatives, and tables updated row by row. */
export { AliasTable } from './alias.js';
export { type ClassTable, classLogits, initClassTable, type TargetLogits } from './class-logits.js';
export { type Draws, logCorrections } from './draws.js';
export { FeatureTree } from './feature-tree.js';
export { distinctRows, gatherRows, scatterRows } from './host-rows.js';
export { exactCrossEntropy, type SampledTargets, sampledCrossEntropy } from './loss.js';
export { classFeatures, mixtureQuery } from './proposal.js';
export { initRowSquares, type RowUpdate, updateRows } from './row-adagrad.js';
export {
  SampledSoftmax,
  type SampledSoftmaxOptions,
  type UpdatedClasses,
  updateTouched,
} from './sampled-softmax.js';
export { type TableState, type TouchedClasses, touchClasses } from './touched.js';

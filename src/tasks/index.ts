/** Tasks: what models learn, from what, and how that is measured. */

export { classification, classTargets } from './classification.js';
export { crossEntropy } from './cross-entropy.js';
export { type DistillationOptions, distillation, type Teacher } from './distillation.js';
export type { Tally } from './f1.js';
export { imageModelling } from './image-modelling.js';
export {
  carryingProblem,
  checkLanes,
  languageModelling,
  streamReading,
  windowsReading,
} from './language-modelling.js';
export { maskedLanguageModelling } from './masked-language-modelling.js';
export { labelTallies, labelTargets, multiLabelClassification } from './multi-label-classification.js';
export {
  type ImageTaskFamily,
  keptTargets,
  type LabelledTaskFamily,
  type PairTaskFamily,
  type TargetOptions,
  type TaskFamily,
  type TextTaskFamily,
  targetKind,
  taskFamily,
  taskNames,
  taskOfModel,
  type WordTaskFamily,
} from './registry.js';
export { regression, valueTargets } from './regression.js';
export { sequenceToSequence } from './sequence-to-sequence.js';
export type {
  Batch,
  BatchSize,
  EvaluationDetail,
  EvaluationSums,
  StepBatches,
  TargetLosses,
  Task,
  TaskEvaluation,
  TaskLoss,
  TextData,
  TextLayout,
} from './task.js';
export { tokenClassification } from './token-classification.js';

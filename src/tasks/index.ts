/** Tasks: what models learn, from what, and how that is measured. */
export { crossEntropy } from './cross-entropy.js';
export { carryingProblem, checkLanes, type LanguageModellingData, languageModelling } from './language-modelling.js';
export type {
  Batch,
  BatchSize,
  EvaluationSums,
  StepBatches,
  Task,
  TaskEvaluation,
  TaskLoss,
} from './task.js';

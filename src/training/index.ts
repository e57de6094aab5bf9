/** Training: optimizer, schedule, the step as one graph, and the loop around it. */
export { type HeldParams, weightsOfSnapshot } from './adapters.js';
export {
  type CompiledEvaluation,
  type CompiledStep,
  compileEvaluation,
  compileStep,
  type GradientHook,
  type StepArguments,
  type StepValues,
} from './compiled.js';
export {
  furtherTraining,
  readTrainingConfig,
  type TrainingConfig,
  type TrainingOptions,
  trainingConfig,
  trainingOf,
  trainingSchema,
  usesDropout,
} from './config.js';
export {
  type ContextLosses,
  type ContextOptions,
  type ContextProgress,
  contextLosses,
  type WindowsLoss,
} from './context-losses.js';
export { type EvaluatedWeights, type Evaluation, Evaluator } from './evaluator.js';
export * from './large-softmax/index.js';
export {
  defaultOptimizer,
  initMoments,
  type Moments,
  momentsLike,
  type OptimizerConfig,
  type OptimizerName,
  type Updated,
  type UpdateInputs,
  updateParams,
} from './optimizer.js';
export { type CheckpointStore, type RunEvent, type RunOptions, runTraining } from './run.js';
export { learningRateAt, type ScheduleConfig } from './schedule.js';
export { type BestResult, initialSnapshot, isFinished, type Snapshot, snapshotFrom } from './snapshot.js';
export { type GradientResult, lossGradient, type StepResult, trainingStep, type UpdateScalars } from './step.js';
export { type StepReport, Trainer, type TrainerOptions } from './trainer.js';

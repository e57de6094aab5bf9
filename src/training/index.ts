/** Training: loss, optimizer, schedule, the step as one graph, and the loop around it. */
export { type CompiledStep, compileEvaluation, compileStep } from './compiled.js';
export { readTrainingConfig, type TrainingConfig, type TrainingOptions, trainingConfig } from './config.js';
export * from './large-softmax/index.js';
export { crossEntropy } from './loss.js';
export {
  defaultOptimizer,
  initMoments,
  type Moments,
  type OptimizerConfig,
  type Updated,
  type UpdateInputs,
  updateParams,
} from './optimizer.js';
export { type CheckpointStore, type RunEvent, type RunOptions, runTraining } from './run.js';
export { learningRateAt, type ScheduleConfig } from './schedule.js';
export { type BestResult, isFinished, type Snapshot } from './snapshot.js';
export {
  accumulateGradients,
  type GradientResult,
  type LossResult,
  lossGradient,
  type StepInputs,
  type StepResult,
  trainingStep,
  type UpdateScalars,
  windowLosses,
} from './step.js';
export {
  checkLanes,
  type Evaluation,
  initialSnapshot,
  type StepReport,
  Trainer,
  type TrainerOptions,
} from './trainer.js';

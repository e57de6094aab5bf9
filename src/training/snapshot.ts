/** All that a run needs to go on as if it had never stopped. */
import type { HostTensor } from '../base/array.js';
import type { EngineTensor } from '../engine/index.js';
import type { LanguageModelConfig, LanguageModelParams, LanguageModelState, Projections } from '../models/index.js';
import type { TrainingConfig } from './config.js';
import type { Moments } from './optimizer.js';

export interface BestResult {
  readonly step: number;
  /** Nats a token on the held-out split. */
  readonly loss: number;
}

/**
 * Everything random and every batch is a function of the seed and the step, so that neither needs a position. `T` is
 * what weights and states are held in: arrays, or tensors where an engine computes.
 */
export interface Snapshot<T extends EngineTensor = HostTensor> {
  readonly model: LanguageModelConfig;
  readonly training: TrainingConfig;
  /** Steps done. */
  readonly step: number;
  /** Where the checkpoint of this step is, when it was read from there. */
  readonly location?: string;
  readonly params: LanguageModelParams<T>;
  readonly moments: Moments<LanguageModelParams<T>>;
  readonly projections: Projections<HostTensor<'float32'>>;
  /** The carried state of each micro-batch; empty where none is carried. */
  readonly states: readonly LanguageModelState<T>[];
  /** The `projectionsDigest` of the projections that the states were made with. */
  readonly statesDigest: string;
  readonly best?: BestResult | undefined;
  /** Whether the evaluation that belongs to this step has still to come, as after a stop. */
  readonly isEvaluationDue?: boolean | undefined;
}

/** Whether all steps of a run are done, and the last evaluation with them. */
export function isFinished({
  step,
  training,
  isEvaluationDue = false,
}: Pick<Snapshot<EngineTensor>, 'step' | 'training' | 'isEvaluationDue'>): boolean {
  return step >= training.steps && !isEvaluationDue;
}

/**
 * The training step of a task: update ∘ gradient.
 *
 * Traced together they are one graph. Apart, the gradients of several batches are summed between them, and can be reduced
 * over machines.
 */
import type { Weights } from '../blocks/index.js';
import { type AnyTensor, divide, gradient, type Tensor } from '../graph/index.js';
import type { PassOptions, TrunkState } from '../models/index.js';
import type { Batch, Task } from '../tasks/index.js';
import { type Moments, type OptimizerConfig, type Updated, updateParams } from './optimizer.js';

/** The scalars of an update: float32. */
export interface UpdateScalars<T = Tensor> {
  readonly learningRate: T;
  /** The number of this update, from 1. */
  readonly update: T;
}

/** The loss of a batch and its gradient. */
export interface GradientResult {
  /** Scalars: see `TaskLoss`. */
  readonly total: Tensor;
  readonly count: Tensor;
  /** Of the total, in the form of the parameters. */
  readonly gradients: object;
  readonly state: TrunkState;
}

/** The total loss of a batch and its gradient. */
export function lossGradient(
  task: Task,
  weights: Weights,
  batch: Batch<AnyTensor>,
  options: PassOptions = {},
): GradientResult {
  const { total, count, result } = task.loss(weights, batch, options);
  return { total, count, gradients: gradient(total, weights.params), state: result.state };
}

/** What a step gives: the loss, and all that it updated. */
export interface StepResult extends Updated<object> {
  /** The mean over the targets: a scalar. */
  readonly loss: Tensor;
  readonly state: TrunkState;
}

/** The whole step: forward, gradient of the mean loss, clipping and update. */
export function trainingStep(
  task: Task,
  optimizer: OptimizerConfig,
  weights: Weights,
  moments: Moments<object>,
  batch: Batch<AnyTensor>,
  scalars: UpdateScalars,
  options: PassOptions = {},
): StepResult {
  const { total, count, result } = task.loss(weights, batch, options);
  const loss = divide(total, count);
  const gradients = gradient(loss, weights.params);
  return { ...updateParams(weights.params, gradients, moments, scalars, optimizer), loss, state: result.state };
}

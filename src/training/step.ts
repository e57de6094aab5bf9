/**
 * The training step of the language model: update ∘ gradient.
 *
 * Traced together they are one graph. Apart, the gradients of several micro-batches are summed between them (and could
 * be reduced over machines).
 */
import type { Dim } from '../base/dimension.js';
import { type MapLeaves, mapTree } from '../base/tree.js';
import type { DropoutKey } from '../blocks/index.js';
import { add, gradient, mean, multiply, slice, type Tensor } from '../graph/index.js';
import {
  type LanguageModelConfig,
  type LanguageModelParams,
  type LanguageModelState,
  logitsOf,
  type Projections,
  readTokens,
} from '../models/index.js';
import { crossEntropy } from './loss.js';
import { type Moments, type OptimizerConfig, type Updated, updateParams } from './optimizer.js';

/** What a step reads beside the parameters. */
export interface StepInputs<T = Tensor> {
  /** [batch, window + 1] int32: each token but the first is the target of the one before. */
  readonly tokens: T;
  /** uint32 scalars for dropout; absent where the model has none. */
  readonly dropout?: MapLeaves<DropoutKey, T>;
}

/** The scalars of an update: float32. */
export interface UpdateScalars<T = Tensor> {
  readonly learningRate: T;
  /** The number of this update, from 1. */
  readonly update: T;
}

/** How a window is read. */
export interface WindowOptions {
  /** The state after the window before, taken as given. */
  readonly state?: LanguageModelState | undefined;
  /** Blocks keep nothing but their inputs for the gradient; see docs/memory.md. */
  readonly recompute?: boolean;
}

export interface LossResult {
  /** Nats a token: [batch, window]. */
  readonly losses: Tensor;
  readonly state: LanguageModelState;
}

/** The loss of each token of a window, and the state after it. */
export function windowLosses(
  config: LanguageModelConfig,
  params: LanguageModelParams,
  { tokens, dropout }: StepInputs,
  projections: Projections,
  { state, recompute = false }: WindowOptions = {},
): LossResult {
  const length: Dim = tokens.staticDim(1);
  const read = readTokens(config, params, {
    tokens: slice(tokens, 1, 0, length - 1),
    projections,
    recompute,
    ...(state === undefined ? {} : { state }),
    ...(dropout === undefined ? {} : { dropout }),
  });
  const losses = crossEntropy(logitsOf(params, read.hidden), slice(tokens, 1, 1, length));
  return { losses, state: read.state };
}

export interface GradientResult {
  /** The mean over the window: scalar. */
  readonly loss: Tensor;
  readonly gradients: LanguageModelParams;
  readonly state: LanguageModelState;
}

/** The mean loss of a window and its gradient. */
export function lossGradient(
  config: LanguageModelConfig,
  params: LanguageModelParams,
  inputs: StepInputs,
  projections: Projections,
  options?: WindowOptions,
): GradientResult {
  const result = windowLosses(config, params, inputs, projections, options);
  const loss = mean(result.losses);
  return { loss, gradients: gradient(loss, params), state: result.state };
}

export interface StepResult extends Updated<LanguageModelParams> {
  readonly loss: Tensor;
  readonly state: LanguageModelState;
}

/** The whole step: forward, gradient, clipping and update. */
export function trainingStep(
  config: LanguageModelConfig,
  optimizer: OptimizerConfig,
  params: LanguageModelParams,
  moments: Moments<LanguageModelParams>,
  inputs: StepInputs & UpdateScalars,
  projections: Projections,
  options?: WindowOptions,
): StepResult {
  const { loss, gradients, state } = lossGradient(config, params, inputs, projections, options);
  return { ...updateParams(params, gradients, moments, inputs, optimizer), loss, state };
}

/** total + gradients·weight, leaf by leaf. */
export function accumulateGradients(
  total: LanguageModelParams,
  gradients: LanguageModelParams,
  weight: number,
): LanguageModelParams {
  const parts: Tensor[] = [];
  mapTree(gradients, (leaf: Tensor) => parts.push(leaf));
  let next = 0;
  return mapTree(total, (leaf: Tensor) => add(leaf, multiply(parts[next++] as Tensor, weight)));
}

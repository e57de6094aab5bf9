/**
 * Language modelling: every token of a window but the first is predicted from those before it.
 *
 * A window of W tokens is read as W + 1: the model sees the first W and predicts the last W. Windows come from anywhere in
 * the text, or, where the state is carried, one after another from contiguous lanes (truncated backpropagation).
 */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { evaluationWindows, laneLength, laneWindows, randomWindows, type TokenSource } from '../data/index.js';
import { less, scalar, slice, spec, sum, type Tensor, where } from '../graph/index.js';
import { attentionKinds, canCarryState, type Model } from '../models/index.js';
import { crossEntropy } from './cross-entropy.js';
import type { BatchSize, Task, TaskEvaluation, TextData } from './task.js';

type TextTensors = {
  /** [batch, window + 1] */
  readonly tokens: Tensor<'int32'>;
  /** 1 for targets that count, [batch, window]; absent where all do. */
  readonly mask?: Tensor;
};

/**
 * The task for a model and a text.
 *
 * @throws CONFIG where a state is to be carried and cannot, DATA where the text is too short for the lanes of carried states.
 */
export function languageModelling(model: Model, size: BatchSize, { train, heldOut }: TextData): Task {
  const { batch, window, accumulation } = size;
  checkCarrying(model, size);
  checkLanes(size, train);
  return {
    name: 'language-modelling',
    model,
    size,
    tokensPerStep: batch * accumulation * window,
    specs: { tokens: spec('int32', [batch, window + 1]) },
    loss(weights, { tokens, mask }: TextTensors, options) {
      const length = tokens.staticDim(1);
      const result = model.apply(weights, { tokens: slice(tokens, 1, 0, length - 1) }, options);
      const losses = crossEntropy(result.output, slice(tokens, 1, 1, length)); // [batch, window]
      if (mask === undefined) return { total: sum(losses), count: scalar(batch * window), result };
      return { total: sum(where(less(0, mask), losses, scalar(0))), count: sum(mask), result };
    },
    step: (step) => stepBatches(size, train, step),
    evaluations: evaluationsOf(model, size, heldOut),
    measures: (name, { total, count }) => ({ [name]: total / count }),
  };
}

async function stepBatches(size: BatchSize, train: TokenSource, step: number) {
  const { batch, window, accumulation, carryState, seed } = size;
  const rows = { batch: batch * accumulation, window, step };
  const random = Random.fromSeed(seed).split('batches');
  const { tokens, isStart } = carryState
    ? await laneWindows(train, rows)
    : { tokens: await randomWindows(train, { ...rows, random }), isStart: true };
  const batches = Array.from({ length: accumulation }, (_, index) => {
    const data = tokens.data.subarray(index * batch * (window + 1), (index + 1) * batch * (window + 1));
    const part: HostTensor<'int32'> = { dtype: 'int32', shape: [batch, window + 1], data };
    return { tokens: part };
  });
  return { batches, isStart };
}

/** Each window on its own, and the whole text in one pass where the state can be carried; as the run is trained first. */
function evaluationsOf(model: Model, { batch, window, carryState }: BatchSize, heldOut: TokenSource): TaskEvaluation[] {
  const evaluation = (name: string, rows: number, carriesState: boolean): TaskEvaluation => ({
    ...{ name, batch: rows, carriesState },
    specs: { tokens: spec('int32', [rows, window + 1]), mask: spec('float32', [rows, window]) },
    async *batches() {
      for await (const { tokens, mask } of evaluationWindows(heldOut, { batch: rows, window })) yield { tokens, mask };
    },
  });
  const windows = evaluation('windows', batch, false);
  if (!canCarryState(model)) return [windows];
  const streaming = evaluation('streaming', 1, true);
  return carryState ? [streaming, windows] : [windows, streaming];
}

/** Throws CONFIG where a state is to be carried and cannot. */
function checkCarrying(model: Model, { carryState }: BatchSize): void {
  const problem = carryState ? carryingProblem(model) : undefined;
  if (problem === undefined) return;
  throw new PerformerError('CONFIG', `training: ${problem}. Leave out carryState.`);
}

/** Why the state of a model cannot be carried from window to window; undefined where it can. */
export function carryingProblem(model: Model): string | undefined {
  if (model.config.memoryTokens > 0) {
    return 'expected no memory tokens to carry a state, whose first window alone would learn them';
  }
  if (canCarryState(model)) return undefined;
  if (!model.isCausal || model.image !== undefined) {
    return `expected a model that continues texts to carry a state, got a ${model.config.model}`;
  }
  const { positions } = model.config;
  return (
    'expected favor+ attention and rotary or no positions to carry a state, got ' +
    `${attentionKinds(model.config)} attention and ${positions.kind} positions`
  );
}

/** Throws DATA where a state is to be carried and the lanes of the text are shorter than a window. */
export function checkLanes(
  { batch, accumulation, window, carryState }: Omit<BatchSize, 'seed'>,
  train: Pick<TokenSource, 'length'>,
): void {
  if (carryState) laneLength(train, { batch: batch * accumulation, window });
}

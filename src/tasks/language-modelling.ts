/**
 * Language modelling: every token of a window but the first is predicted from those before it.
 *
 * A window of W tokens is read as W + 1: the model sees the first W and predicts the last W. Windows come from anywhere in
 * the text, or, where the state is carried, one after another from contiguous lanes (truncated backpropagation).
 */
import type { HostTensor } from '../base/array.js';
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { evaluationWindows, laneLength, laneWindows, randomWindows, type TokenSource } from '../data/index.js';
import { less, scalar, slice, spec, sum, type Tensor, where } from '../graph/index.js';
import { attentionKinds, canCarryState, contextRecord, type Model } from '../models/index.js';
import { crossEntropy } from './cross-entropy.js';
import type { BatchSize, Task, TaskEvaluation, TextData, TextLayout } from './task.js';

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
      const counted = where(less(0, mask), losses, scalar(0));
      return { total: sum(counted), count: sum(mask), targets: { losses: counted, counts: mask }, result };
    },
    step: (step) => stepBatches(size, train, step),
    evaluations: evaluationsOf(model, size, heldOut),
    measures: (name, { total, count }) => ({ [name]: total / count }),
    context: ({ windows, streaming }) =>
      windows?.positions && contextRecord(window, windows.positions, streaming?.positions?.byPosition),
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
  const windows = windowsReading(heldOut, { batch, window });
  if (!canCarryState(model)) return [windows];
  const streaming = streamReading(heldOut, window);
  return carryState ? [streaming, windows] : [windows, streaming];
}

/** Every window of a text on its own; those that are longer than `piece` in several batches, whose states are carried. */
export function windowsReading(
  text: TokenSource,
  { batch, window, piece = window }: { readonly batch: number; readonly window: number; readonly piece?: number },
): TaskEvaluation {
  return reading('windows', text, { batch, window, length: Math.min(piece, window) });
}

/** A text as one stream in pieces, whose states are carried. */
export function streamReading(text: TokenSource, piece: number): TaskEvaluation {
  return reading('streaming', text, { batch: 1, window: Number.POSITIVE_INFINITY, length: piece });
}

function reading(
  name: string,
  text: TokenSource,
  { batch, window, length }: { readonly batch: number } & TextLayout,
): TaskEvaluation {
  return {
    ...{ name, batch, carriesState: window > length, layout: { window, length } },
    specs: { tokens: spec('int32', [batch, length + 1]), mask: spec('float32', [batch, length]) },
    async *batches() {
      const whole = Math.min(window, text.length - 1);
      for await (const { tokens, mask } of evaluationWindows(text, { batch, window: whole, piece: length })) {
        yield { tokens, mask };
      }
    },
  };
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
    return `expected a model that continues texts to carry a state, got ${withArticle(model.config.model)}`;
  }
  const { positions } = model.config;
  return (
    'expected attention whose state has one size and rotary or no positions to carry a state, got ' +
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

/**
 * A task: what a model learns, from what. It makes batches, says the loss of one as a total and a count, and how the model
 * is evaluated. The trainer knows tasks alone, and no task knows the trainer.
 */
import type { AnyHostTensor, Dtype, HostTensor } from '../base/array.js';
import type { Weights } from '../blocks/index.js';
import type { TokenSource } from '../data/index.js';
import type { AnyTensor, Tensor, TensorSpec } from '../graph/index.js';
import type { ContextRecord, Model, ModelResult, PassOptions, WindowLosses } from '../models/index.js';
import type { Tally } from './f1.js';

/** Arrays or tensors by name, such as `{ tokens, mask }`. */
export type Batch<T = AnyHostTensor> = Readonly<Record<string, T>>;

/** A text to learn from, and another to evaluate on, as tokens of the model. */
export interface TextData {
  readonly train: TokenSource;
  readonly heldOut: TokenSource;
}

/** How many texts a task reads at once, and how much of each. */
export interface BatchSize {
  /** Rows of a batch. */
  readonly batch: number;
  /** Tokens of a window, or of the longest text. */
  readonly window: number;
  /** Batches whose gradients are added up for one step. */
  readonly accumulation: number;
  /** Whether a window begins with the state after the one before it. */
  readonly carryState: boolean;
  readonly seed: number;
}

/** The loss of a batch as a total and a count. */
export interface TaskLoss {
  /** The sum of the losses of all targets that count, in nats or squared units: a scalar. */
  readonly total: Tensor;
  /** How many targets count: a scalar. The loss of several batches is the sum of the totals over that of the counts. */
  readonly count: Tensor;
  /** More sums, from which `Task.measures` makes metrics; evaluations alone need them. */
  readonly sums?: Batch<Tensor> | undefined;
  /** What the host counts more sums by, in evaluations: see `Task.tally`. */
  readonly told?: Tensor | undefined;
  /** The loss of each target, and 1 where it counts, [batch, length]; in evaluations whose rows lie in a text. */
  readonly targets?: TargetLosses | undefined;
  readonly result: ModelResult;
}

/** The loss of each target, and 1 where it counts and 0 where not: [batch, length]. */
export interface TargetLosses<T = Tensor> {
  readonly losses: T;
  readonly counts: T;
}

/** The batches of one step. */
export interface StepBatches {
  /** One for each of `accumulation`. */
  readonly batches: readonly Batch[];
  /** Set where carried states must begin anew. */
  readonly isStart: boolean;
}

/** One way of evaluating a model on what it has not learned from. */
export interface TaskEvaluation {
  readonly name: string;
  readonly batch: number;
  readonly carriesState: boolean;
  /** How its rows lie in the text; of tasks whose targets have positions. */
  readonly layout?: TextLayout | undefined;
  readonly specs: Batch<TensorSpec<Dtype>>;
  /** The batches of what is held out, in their order; each call begins anew. */
  batches(): AsyncIterable<Batch>;
}

/**
 * Rows are windows that follow one another in a text. Windows that are longer than a row come in several batches, of which
 * each goes on from the state of the one before.
 */
export interface TextLayout {
  /** Tokens of a window; infinite where the text is one. */
  readonly window: number;
  /** Tokens of a row. */
  readonly length: number;
}

/** The sums of an evaluation over all batches. */
export interface EvaluationSums {
  readonly total: number;
  readonly count: number;
  readonly sums: Readonly<Record<string, Float64Array>>;
  /** Losses by the position in a window, and by the place in the whole text; of an evaluation with a layout. */
  readonly positions?: WindowLosses | undefined;
}

/** More of an evaluation than measures: which classes were taken for which, or how often each label was told. */
export type EvaluationDetail =
  | {
      readonly kind: 'confusion';
      readonly names: readonly string[];
      /** A list for each class: how many were taken for each. */
      readonly counts: readonly (readonly number[])[];
    }
  | {
      readonly kind: 'labels' | 'spans';
      /** What has labels: texts, words or spans. */
      readonly unit: string;
      readonly names: readonly string[];
      readonly tallies: readonly Tally[];
    };

/** What a model learns from what: batches as functions of seed and step, a loss, and evaluations. */
export interface Task {
  readonly name: string;
  readonly model: Model;
  readonly size: BatchSize;
  /** Targets of a step, for the speed that is shown. */
  readonly tokensPerStep: number;
  readonly specs: Batch<TensorSpec<Dtype>>;
  /** A task declares the tensors that its batches have, such as `{ tokens: Tensor<'int32'> }`. */
  loss(weights: Weights, batch: Batch<AnyTensor>, options: PassOptions): TaskLoss;
  /** The batches of a step: a function of the step, the seed and the data, so that a resumed run reads what an unbroken one does. */
  step(step: number): Promise<StepBatches>;
  /** The evaluation by whose loss the best model is chosen comes first. */
  readonly evaluations: readonly TaskEvaluation[];
  /** What is told of an evaluation, by name; the loss among it. */
  measures(evaluation: string, sums: EvaluationSums): Readonly<Record<string, number>>;
  /** More sums of a batch, from what its loss told: of what a graph cannot count. */
  tally?(batch: Batch, told: HostTensor): Readonly<Record<string, readonly number[]>>;
  /** What else the sums tell. */
  details?(sums: EvaluationSums): readonly EvaluationDetail[];
  /** What all of its evaluations, by name, tell of long texts; of tasks whose targets have positions. */
  context?(sums: Readonly<Record<string, EvaluationSums>>): ContextRecord | undefined;
}

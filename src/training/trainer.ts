/**
 * Training a model on a task: parameters, moments and carried states where the engine computes, one method for a step and
 * one for an evaluation. It knows no files and no data: batches come from the task, and checkpoints are snapshots.
 */
import { type AnyHostTensor, float32Scalar, type HostTensor, uint32, zeros } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { drawBuffers, parameterCount } from '../base/layout.js';
import { OneAtATime } from '../base/one-at-a-time.js';
import { Random } from '../base/random.js';
import { mapTree } from '../base/tree.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { buffersDigest, hasBuffers, initialState, type TrunkState } from '../models/index.js';
import type { Task } from '../tasks/index.js';
import { adaptedTask } from './adapters.js';
import { type CompiledStep, compileStep, type GradientHook } from './compiled.js';
import { type TrainingConfig, usesDropout } from './config.js';
import { type Evaluation, Evaluator } from './evaluator.js';
import { type CompiledMoments, compileMoments, hasMeasuredBuffers, isEarly, withMeasured } from './measured-buffers.js';
import type { Moments } from './optimizer.js';
import { learningRateAt } from './schedule.js';
import { checkStates, type Snapshot } from './snapshot.js';

/** What is told of a step. */
export interface StepReport {
  /** Steps done, this one counted. */
  readonly step: number;
  /** The mean over the targets of the step: nats a token of a language model. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Tokens in the step. */
  readonly tokens: number;
}

/** What a step reads in one set of tensors and writes into another. */
interface TensorSet {
  readonly params: object;
  readonly moments: Moments<object>;
  readonly states: readonly TrunkState<EngineTensor>[];
}

type Placed = readonly [current: TensorSet, next: TensorSet, buffers: object, base: Pick<Snapshot, 'base'>];

/** What a trainer computes with, and on what. */
export interface TrainerOptions {
  readonly engine: Engine;
  readonly task: Task;
  /** Called between gradient and update; see `GradientHook`. */
  readonly onGradients?: GradientHook | undefined;
}

/** A loss that is not finite. Going on from a checkpoint takes the same steps to the same loss. */
export function divergence(
  step: number,
  expected: string,
  got: string,
  { learningRate, clipNorm }: TrainingConfig,
): PerformerError {
  const advice =
    'The same steps give the same again: begin a new run in another folder, with a learning rate below ' +
    `${learningRate} or a clip norm below ${clipNorm}.`;
  return new PerformerError('NUMERIC', `step ${step}: expected ${expected}, got ${got}. ${advice}`);
}

/** The states before the first tokens, one for each batch of a step, or none where none is carried. */
function freshStates({ model, size }: Task): readonly TrunkState<HostTensor<'int32'>>[] {
  return size.carryState ? Array.from({ length: size.accumulation }, () => initialState(model, size.batch)) : [];
}

/** One call at a time: a step reads what the one before it wrote. Calls that overlap, or come after the end, throw USAGE. */
export class Trainer {
  /** How many numbers are learned. */
  readonly parameterCount: number;
  #snapshot: Snapshot<EngineTensor>;
  /** The tensors of the snapshot, and those that the next step writes into. */
  #current: TensorSet;
  #next: TensorSet;
  #buffers: object;
  /** What stays in a training by adapters; empty in others. */
  readonly #base: Pick<Snapshot, 'base'>;
  #moments: CompiledMoments | undefined;
  readonly #evaluator: Evaluator;
  readonly #calls = new OneAtATime('Trainer', 'trainer');

  private constructor(
    private readonly options: TrainerOptions,
    private readonly compiled: CompiledStep,
    snapshot: Snapshot,
    [current, next, buffers, base]: Placed,
  ) {
    const { params, moments } = current;
    const states = snapshot.states.length === 0 ? [] : current.states;
    this.#snapshot = { ...snapshot, params, moments, states };
    this.#current = current;
    this.#next = next;
    this.#buffers = buffers;
    this.#base = base;
    this.#evaluator = new Evaluator(options.engine, adaptedTask(options.task, snapshot));
    this.parameterCount = parameterCount(snapshot.params);
  }

  /**
   * Compiles the step for a snapshot, fresh or resumed, whose arrays are kept where the engine computes on the host.
   *
   * @throws CHECKPOINT where its states do not fit; CONFIG for adapters of a model that has not been trained; what the task and
   *   the engine throw.
   */
  static async create(snapshot: Snapshot, options: TrainerOptions): Promise<Trainer> {
    const { training, params, moments, buffers, base } = snapshot;
    checkStates(snapshot);
    if (training.loraRank !== undefined && base === undefined) {
      throw new PerformerError(
        'CONFIG',
        'loraRank: expected a trained model for adapters to change, got first weights. Go on from one (from), or leave it out.',
      );
    }
    const task = adaptedTask(options.task, snapshot);
    const compiled = await compileStep(options.engine, task, training, options.onGradients);
    const states = snapshot.states.length === 0 ? freshStates(options.task) : snapshot.states;
    const first: TensorSet = { params, moments, states };
    const second = mapTree(first, ({ dtype, shape }: AnyHostTensor) => zeros(dtype, shape)) as TensorSet;
    const placed = await options.engine.place([first, second, buffers, { base }] as const);
    return new Trainer(options, compiled, snapshot, placed as Placed);
  }

  /**
   * The state of the run after the last step, its tensors where the engine computes. They are overwritten by the step
   * after the next one.
   */
  get snapshot(): Snapshot<EngineTensor> {
    return this.#snapshot;
  }

  /** The snapshot with its tensors as arrays, which may be overwritten as those of `snapshot` are. */
  async fetchSnapshot(): Promise<Snapshot> {
    return this.#calls.run(async () => {
      const { params, moments, states } = this.#snapshot;
      const fetched = await this.options.engine.fetch({ params, moments, states });
      return { ...this.#snapshot, ...(fetched as Pick<Snapshot, 'params' | 'moments' | 'states'>) };
    });
  }

  /** Notes the best result, which later snapshots carry. */
  noteBest(loss: number): void {
    this.#calls.expectIdle();
    this.#snapshot = { ...this.#snapshot, best: { step: this.#snapshot.step, loss } };
  }

  /**
   * One optimizer step.
   *
   * @throws NUMERIC when the loss or the gradient is not finite. Weights, moments and the count of steps are then as before;
   *   features and carried states may be renewed, as the same step would do again.
   */
  async step(): Promise<StepReport> {
    return this.#calls.run(() => this.#step());
  }

  async #step(): Promise<StepReport> {
    const { training, step } = this.#snapshot;
    const { task } = this.options;
    await this.#renewBuffers();
    const { params, moments } = this.#snapshot;
    const learningRate = learningRateAt(step, training);
    const { batches, isStart } = await task.step(step);
    const isFresh = isStart || this.#snapshot.states.length === 0;
    const { loss, gradientNorm } = await this.compiled.run({
      ...{ params, moments, batches, buffers: this.#allBuffers, next: this.#next },
      states: isFresh ? freshStates(task) : this.#snapshot.states,
      dropout: dropoutKeys(step, batches.length, training),
      scalars: { learningRate: float32Scalar(learningRate), update: float32Scalar(step + 1) },
    });
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      const got = `a loss of ${loss} and a gradient norm of ${gradientNorm}`;
      throw divergence(step + 1, 'a finite loss', got, training);
    }
    [this.#current, this.#next] = [this.#next, this.#current];
    const done = step + 1;
    const isEvaluationDue = done === training.steps || done % training.evaluationInterval === 0;
    this.#snapshot = {
      ...{ ...this.#snapshot, ...this.#current, step: done, isEvaluationDue },
      ...{ location: undefined, context: undefined },
    };
    return { step: done, loss, gradientNorm, learningRate, tokens: task.tokensPerStep };
  }

  /** How the model does on what it does not learn from. Once the signal is given it throws the signal's reason, and stays due. */
  async evaluate(signal?: AbortSignal): Promise<Evaluation> {
    return this.#calls.run(async () => {
      const { params } = this.#snapshot;
      const evaluation = await this.#evaluator.run({ params, buffers: this.#allBuffers }, signal);
      this.#snapshot = { ...this.#snapshot, isEvaluationDue: false, context: evaluation.context };
      return evaluation;
    });
  }

  /** The buffers of the model, and what stays beside them. */
  get #allBuffers(): object {
    return { ...this.#buffers, ...this.#base };
  }

  /** Frees what was compiled and placed. The trainer must not be used again. */
  async dispose(): Promise<void> {
    if (!this.#calls.end()) return;
    await this.compiled.dispose();
    await this.#moments?.dispose();
    await this.#evaluator.dispose();
    this.options.engine.free([this.#current, this.#next, this.#allBuffers]);
  }

  /**
   * Draws new projections where the schedule says so, and measures buffers that are measured on the step's first batch. A
   * carried state ends there, since it is made with the old ones.
   */
  async #renewBuffers(): Promise<void> {
    const { training, step } = this.#snapshot;
    const { model } = this.options.task;
    const { redrawInterval, seed } = training;
    if (!hasBuffers(model)) return;
    const isRedraw = redrawInterval > 0 && step > 0 && step % redrawInterval === 0;
    const isMeasuring = hasMeasuredBuffers(model) && (isRedraw || isEarly(step));
    if (!isRedraw && !isMeasuring) return;
    let { buffers } = this.#snapshot;
    if (isRedraw) {
      const random = Random.fromSeed(seed)
        .split('projections')
        .split(step / redrawInterval);
      buffers = withMeasured(model, drawBuffers(model.buffers, random), buffers);
    }
    if (isMeasuring) buffers = await this.#measure(buffers);
    this.#snapshot = { ...this.#snapshot, buffers, states: [], statesDigest: buffersDigest(buffers) };
    this.options.engine.free(this.#buffers);
    this.#buffers = await this.options.engine.place(buffers);
  }

  async #measure(buffers: object): Promise<object> {
    const { engine, task } = this.options;
    const { params, step } = this.#snapshot;
    this.#moments ??= await compileMoments(engine, adaptedTask(task, this.#snapshot));
    const { batches } = await task.step(step);
    const all = { ...buffers, ...this.#base };
    const { base: _, ...measured }: Pick<Snapshot, 'base'> = await this.#moments.run({
      params,
      buffers: all,
      batch: batches[0] ?? {},
    });
    return measured;
  }
}

/** The key of dropout of each batch of a step; none where nothing is dropped. */
function dropoutKeys(step: number, count: number, training: TrainingConfig) {
  if (!usesDropout(training)) return [];
  return Array.from({ length: count }, (_, index) => ({
    seed: uint32([], [training.seed % 2 ** 32]),
    step: uint32([], [step * count + index]),
  }));
}

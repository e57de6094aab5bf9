/**
 * Training a causal language model: parameters, moments and carried states where the engine computes, one method for a
 * step and one for an evaluation. It knows no files: batches come from byte sources, and checkpoints are snapshots.
 */
import { float32Scalar, type HostTensor, uint32, zeros } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { elementCount } from '../base/shape.js';
import { leavesOf, mapTree } from '../base/tree.js';
import {
  type ByteSource,
  evaluationWindows,
  type LaneWindows,
  laneLength,
  laneWindows,
  randomWindows,
} from '../data/index.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { isShaped, shapeFromMoments } from '../features/index.js';
import {
  canCarryState,
  drawProjections,
  initialState,
  initLanguageModel,
  type LanguageModelConfig,
  type LanguageModelParams,
  type LanguageModelState,
  type Projections,
  projectionsDigest,
  usesDropout,
} from '../models/index.js';
import { type CompiledEvaluation, type CompiledStep, compileEvaluation, compileStep } from './compiled.js';
import type { TrainingConfig } from './config.js';
import { type CompiledMoments, compileMoments, isEarly, shapesOf, withShapes } from './feature-shapes.js';
import { initMoments, type Moments } from './optimizer.js';
import { learningRateAt } from './schedule.js';
import type { Snapshot } from './snapshot.js';
import type { StepInputs } from './step.js';

export interface StepReport {
  /** Steps done, this one counted. */
  readonly step: number;
  /** Nats a token. */
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Tokens in the step. */
  readonly tokens: number;
}

/** Nats a token on the whole held-out split. */
export interface Evaluation {
  /** Each window on its own. */
  readonly windows: number;
  /** Each window after the state of those before: one pass over the split. Absent where positions or attention forbid it. */
  readonly streaming?: number;
  /** The one of the two that is read as the run was trained. */
  readonly chosen: number;
}

/** What a step reads in one set of tensors and writes into another. */
interface Held {
  readonly params: LanguageModelParams<EngineTensor>;
  readonly moments: Moments<LanguageModelParams<EngineTensor>>;
  readonly states: readonly LanguageModelState<EngineTensor>[];
}

export interface TrainerOptions {
  readonly engine: Engine;
  readonly train: ByteSource;
  readonly heldOut: ByteSource;
}

/** The first snapshot of a run: fresh parameters. */
export function initialSnapshot(model: LanguageModelConfig, training: TrainingConfig): Snapshot {
  const random = Random.fromSeed(training.seed);
  const params = initLanguageModel(model, random.split('parameters'));
  const projections = drawProjections(model, random.split('projections').split(0));
  return {
    model,
    training,
    step: 0,
    params,
    moments: initMoments(params),
    projections,
    states: [],
    statesDigest: projectionsDigest(projections),
  };
}

/** Throws CHECKPOINT for carried states that were made with other projections: they would look right and be wrong. */
function checkStates({ states, statesDigest, projections }: Snapshot): void {
  const digest = projectionsDigest(projections);
  if (states.length === 0 || statesDigest === digest) return;
  throw new PerformerError(
    'CHECKPOINT',
    `training: expected carried states made with the projections ${digest}, got those of ${statesDigest}. ` +
      'Resume from a checkpoint whose files belong together.',
  );
}

/** Throws CONFIG where a state is to be carried and cannot. */
function checkCarrying(model: LanguageModelConfig, { carryState }: TrainingConfig): void {
  if (!carryState || canCarryState(model)) return;
  throw new PerformerError(
    'CONFIG',
    'training: expected favor+ attention and rotary or no positions to carry a state, got ' +
      `${model.attention} attention and ${model.positions} positions. Leave out carryState.`,
  );
}

/** Throws DATA where a state is to be carried and the lanes of the text are shorter than a window. */
export function checkLanes(
  { batch, accumulation, window, carryState }: TrainingConfig,
  train: Pick<ByteSource, 'length'>,
): void {
  if (carryState) laneLength(train, { batch: batch * accumulation, window });
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

/** The states before the first tokens, one for each micro-batch, or none where none is carried. */
function freshStates(
  model: LanguageModelConfig,
  { batch, accumulation, carryState }: Pick<TrainingConfig, 'batch' | 'accumulation' | 'carryState'>,
): readonly LanguageModelState<HostTensor>[] {
  return carryState ? Array.from({ length: accumulation }, () => initialState(model, batch)) : [];
}

/** One call at a time: a step reads what the one before it wrote. Calls that overlap, or come after the end, throw USAGE. */
export class Trainer {
  readonly parameterCount: number;
  #snapshot: Snapshot<EngineTensor>;
  /** The tensors of the snapshot, and those that the next step writes into. */
  #held: Held;
  #spare: Held;
  #projections: Projections<EngineTensor>;
  #featureMoments: CompiledMoments | undefined;
  #windows: CompiledEvaluation | undefined;
  #streaming: CompiledEvaluation | undefined;
  #status: 'idle' | 'busy' | 'disposed' = 'idle';

  private constructor(
    private readonly options: TrainerOptions,
    private readonly compiled: CompiledStep,
    snapshot: Snapshot,
    [held, spare, projections]: readonly [Held, Held, Projections<EngineTensor>],
  ) {
    const { params, moments } = held;
    const states = snapshot.states.length === 0 ? [] : held.states;
    this.#snapshot = { ...snapshot, params, moments, states };
    this.#held = held;
    this.#spare = spare;
    this.#projections = projections;
    this.parameterCount = leavesOf(snapshot.params).reduce((total, [, { shape }]) => total + elementCount(shape), 0);
  }

  /**
   * Compiles the step for a snapshot, fresh or resumed, whose arrays are kept where the engine computes on the host.
   *
   * @throws CONFIG or CHECKPOINT where its states do not fit, DATA where the text is too short for its lanes.
   */
  static async create(snapshot: Snapshot, options: TrainerOptions): Promise<Trainer> {
    const { model, training, params, moments, projections } = snapshot;
    checkCarrying(model, training);
    checkStates(snapshot);
    checkLanes(training, options.train);
    const compiled = await compileStep(options.engine, model, training);
    const fresh = freshStates(model, training);
    const first = { params, moments, states: snapshot.states.length === 0 ? fresh : snapshot.states };
    const second = mapTree(first, ({ dtype, shape }: HostTensor) => zeros(dtype, shape));
    const placed = await options.engine.place([first, second, projections] as const);
    return new Trainer(options, compiled, snapshot, placed);
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
    return this.#exclusively(async () => {
      const { params, moments, states } = this.#snapshot;
      return { ...this.#snapshot, ...(await this.options.engine.fetch({ params, moments, states })) };
    });
  }

  /** Notes the best result, which later snapshots carry. */
  noteBest(loss: number): void {
    this.#expectIdle();
    this.#snapshot = { ...this.#snapshot, best: { step: this.#snapshot.step, loss } };
  }

  /**
   * One optimizer step.
   *
   * @throws NUMERIC when the loss or the gradient is not finite. Weights, moments and the count of steps are then as before;
   *   features and carried states may be renewed, as the same step would do again.
   */
  async step(): Promise<StepReport> {
    return this.#exclusively(() => this.#step());
  }

  async #step(): Promise<StepReport> {
    const { training, step } = this.#snapshot;
    await this.#renewFeatures();
    const { params, moments } = this.#snapshot;
    const learningRate = learningRateAt(step, training);
    const { batches, states } = await this.#read();
    const result = await this.compiled.run({
      params,
      moments,
      projections: this.#projections,
      states,
      batches,
      scalars: { learningRate: float32Scalar(learningRate), update: float32Scalar(step + 1) },
      next: this.#spare,
    });
    const { loss, gradientNorm } = result;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      const got = `a loss of ${loss} and a gradient norm of ${gradientNorm}`;
      throw divergence(step + 1, 'a finite loss', got, training);
    }
    [this.#held, this.#spare] = [this.#spare, this.#held];
    const { location: _, ...before } = this.#snapshot;
    const done = step + 1;
    const isEvaluationDue = done === training.steps || done % training.evaluationInterval === 0;
    this.#snapshot = { ...before, ...this.#held, step: done, isEvaluationDue };
    const tokens = training.batch * training.accumulation * training.window;
    return { step: done, loss, gradientNorm, learningRate, tokens };
  }

  /** The loss on the whole held-out split. Once the signal is given it throws the signal's reason, and stays due. */
  async evaluate(signal?: AbortSignal): Promise<Evaluation> {
    return this.#exclusively(() => this.#evaluate(signal));
  }

  async #evaluate(signal: AbortSignal | undefined): Promise<Evaluation> {
    const { model, training } = this.#snapshot;
    const { engine } = this.options;
    this.#windows ??= await compileEvaluation(engine, model, { ...training, carryState: false });
    const windows = await this.#evaluateWith(this.#windows, { batch: training.batch, carryState: false }, signal);
    let streaming: number | undefined;
    if (canCarryState(model)) {
      this.#streaming ??= await compileEvaluation(engine, model, { ...training, batch: 1, carryState: true });
      streaming = await this.#evaluateWith(this.#streaming, { batch: 1, carryState: true }, signal);
    }
    this.#snapshot = { ...this.#snapshot, isEvaluationDue: false };
    if (streaming === undefined) return { windows, chosen: windows };
    return { windows, streaming, chosen: training.carryState ? streaming : windows };
  }

  /** Frees what was compiled and placed. The trainer must not be used again. */
  async dispose(): Promise<void> {
    if (this.#status === 'disposed') return;
    this.#expectIdle();
    this.#status = 'disposed';
    await this.compiled.dispose();
    await this.#featureMoments?.dispose();
    await this.#windows?.dispose();
    await this.#streaming?.dispose();
    this.options.engine.free([this.#held, this.#spare, this.#projections]);
  }

  #expectIdle(): void {
    if (this.#status === 'idle') return;
    const got = this.#status === 'busy' ? 'a call before the last one ended' : 'one disposed of';
    throw new PerformerError('USAGE', `Trainer: expected a trainer at rest, got ${got}. Await each call.`);
  }

  async #exclusively<R>(work: () => Promise<R>): Promise<R> {
    this.#expectIdle();
    this.#status = 'busy';
    try {
      return await work();
    } finally {
      this.#status = 'idle';
    }
  }

  /**
   * Draws new projections where the schedule says so, and shapes features that have a shape by the moments of the step's
   * batch. A carried state ends there, since it is made with the old ones.
   */
  async #renewFeatures(): Promise<void> {
    const { model, training, step } = this.#snapshot;
    if (model.attention !== 'favor+') return;
    const { redrawInterval } = training;
    const isRedraw = redrawInterval > 0 && step > 0 && step % redrawInterval === 0;
    const isShaping = isShaped(model.featureMap) && (isRedraw || isEarly(step));
    if (!isRedraw && !isShaping) return;
    let { projections } = this.#snapshot;
    if (isRedraw) {
      const drawn = drawProjections(
        model,
        Random.fromSeed(training.seed)
          .split('projections')
          .split(step / redrawInterval),
      );
      // The shapes stay as they are until they are measured, with the model that they belong to.
      projections = withShapes(drawn, shapesOf(projections));
    }
    if (isShaping) projections = await this.#shape(projections);
    this.#snapshot = { ...this.#snapshot, projections, states: [], statesDigest: projectionsDigest(projections) };
    this.options.engine.free(this.#projections);
    this.#projections = await this.options.engine.place(projections);
  }

  async #shape(projections: Snapshot['projections']): Promise<Snapshot['projections']> {
    const { model, training, params } = this.#snapshot;
    if (!isShaped(model.featureMap)) return projections;
    this.#featureMoments ??= await compileMoments(this.options.engine, model, training);
    const { tokens } = await this.#readTokens();
    const size = training.batch * (training.window + 1);
    const first: HostTensor<'int32'> = {
      dtype: 'int32',
      shape: [training.batch, training.window + 1],
      data: tokens.data.subarray(0, size),
    };
    const moments = await this.#featureMoments.run({ params, projections, tokens: first });
    const method = model.featureMap;
    return withShapes(
      projections,
      moments.map((each) => shapeFromMoments(method, each)),
    );
  }

  /** The windows of the step that comes next. */
  async #readTokens(): Promise<LaneWindows> {
    const { batch, window, accumulation, carryState, seed } = this.#snapshot.training;
    const size = { batch: batch * accumulation, window, step: this.#snapshot.step };
    if (carryState) return laneWindows(this.options.train, size);
    const random = Random.fromSeed(seed).split('batches');
    return { tokens: await randomWindows(this.options.train, { ...size, random }), isStart: true };
  }

  async #read(): Promise<{ batches: StepInputs<HostTensor>[]; states: readonly LanguageModelState<EngineTensor>[] }> {
    const { model, training, step } = this.#snapshot;
    const { batch, window, accumulation, seed } = training;
    const { tokens, isStart } = await this.#readTokens();
    const isFresh = isStart || this.#snapshot.states.length === 0;
    const states = isFresh ? freshStates(model, training) : this.#snapshot.states;
    const batches = Array.from({ length: accumulation }, (_, index): StepInputs<HostTensor> => {
      const rows = tokens.data.subarray(index * batch * (window + 1), (index + 1) * batch * (window + 1));
      const part: HostTensor = { dtype: 'int32', shape: [batch, window + 1], data: rows };
      if (!usesDropout(model)) return { tokens: part };
      const key = uint32([], [step * accumulation + index]);
      return { tokens: part, dropout: { seed: uint32([], [seed % 2 ** 32]), step: key } };
    });
    return { batches, states };
  }

  async #evaluateWith(
    compiled: CompiledEvaluation,
    { batch, carryState }: Pick<TrainingConfig, 'batch' | 'carryState'>,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { model, training, params } = this.#snapshot;
    const { engine, heldOut } = this.options;
    const fresh = () => freshStates(model, { batch, accumulation: 1, carryState });
    let [states, nextStates] = await engine.place([fresh(), fresh()] as const);
    try {
      let total = 0;
      let count = 0;
      for await (const { tokens, mask } of evaluationWindows(heldOut, { batch, window: training.window })) {
        signal?.throwIfAborted();
        const given = { params, projections: this.#projections, tokens, mask };
        total += (await compiled.run({ ...given, states, nextStates })).total;
        [states, nextStates] = [nextStates, states];
        for (const value of mask.data) count += value;
      }
      return total / count;
    } finally {
      engine.free([states, nextStates]);
    }
  }
}

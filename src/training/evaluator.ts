/** Evaluating a task's model: every batch of each of its evaluations, their sums, and what the task makes of them. */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { type ContextRecord, initialState, Octaves, type TrunkState, type WindowLosses } from '../models/index.js';
import type { EvaluationSums, TargetLosses, Task, TaskEvaluation, TextLayout } from '../tasks/index.js';
import { type CompiledEvaluation, compileEvaluation } from './compiled.js';

/** What was measured on what is held out. */
export interface Evaluation {
  /** The loss of the task's first evaluation, by which the best model is chosen. */
  readonly chosen: number;
  /** All that was measured, by name: `{ windows: 1.61, streaming: 1.58 }` of a language model, in nats a token. */
  readonly measures: Readonly<Record<string, number>>;
  /** What it has shown of long texts; of tasks whose targets have positions. */
  readonly context?: ContextRecord | undefined;
}

/** The weights that are measured, placed where the engine computes. */
export interface EvaluatedWeights {
  readonly params: object;
  readonly buffers: object;
}

/** What evaluations compile is kept until the end. */
export class Evaluator {
  readonly #compiled = new Map<TaskEvaluation, CompiledEvaluation>();
  /** Of an engine that computes with fewer bits of weights: those that it was compiled with. */
  #constants: EvaluatedWeights | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly task: Task,
  ) {}

  /** Once the signal is given it throws the signal's reason. */
  async run(weights: EvaluatedWeights, signal?: AbortSignal): Promise<Evaluation> {
    const { evaluations } = this.task;
    let chosen: number | undefined;
    let measures = {};
    const all: Record<string, EvaluationSums> = {};
    for (const evaluation of evaluations) {
      const sums = await this.sums(evaluation, weights, signal);
      chosen ??= sums.total / sums.count;
      all[evaluation.name] = sums;
      measures = { ...measures, ...this.task.measures(evaluation.name, sums) };
    }
    if (chosen === undefined) {
      throw new PerformerError('USAGE', `${this.task.name}: expected something to evaluate on, got nothing held out.`);
    }
    return { chosen, measures, context: this.task.context?.(all) };
  }

  /** Frees what was compiled. */
  async dispose(): Promise<void> {
    for (const compiled of this.#compiled.values()) await compiled.dispose();
    this.#compiled.clear();
  }

  /**
   * The sums of one of the task's evaluations, such as the confusion matrix of classes, for those who want more than measures.
   *
   * @param onTargets told how many targets have been read so far.
   */
  async sums(
    evaluation: TaskEvaluation,
    { params, buffers }: EvaluatedWeights,
    signal?: AbortSignal,
    onTargets?: (count: number) => void,
  ): Promise<EvaluationSums> {
    const compiled = await this.#compiledFor(evaluation, { params, buffers });
    const { engine } = this;
    const { batch: rows, carriesState, layout } = evaluation;
    const fresh = (): readonly TrunkState<HostTensor<'int32'>>[] =>
      carriesState ? [initialState(this.task.model, rows)] : [];
    type States = readonly TrunkState<EngineTensor>[];
    const placed = async () => (await engine.place([fresh(), fresh()] as const)) as readonly [States, States];
    let [states, nextStates] = await placed();
    const all = { total: 0, count: 0, sums: {} as Record<string, Float64Array> };
    const positions = layout && new TextPositions(layout, rows);
    try {
      for await (const batch of evaluation.batches()) {
        signal?.throwIfAborted();
        if (carriesState && all.count > 0 && positions?.isAtStart === true) {
          engine.free([states, nextStates]);
          [states, nextStates] = await placed();
        }
        const result = await compiled.run({ params, buffers, states, batch, nextStates });
        const { total, count, sums, told, targets } = result;
        all.total += total;
        all.count += count;
        for (const [name, { data }] of Object.entries(sums)) addTo(all.sums, name, data);
        const tallies = told === undefined ? {} : (this.task.tally?.(batch, told) ?? {});
        for (const [name, values] of Object.entries(tallies)) addTo(all.sums, name, values);
        positions?.add(targets);
        [states, nextStates] = [nextStates, states];
        onTargets?.(all.count);
      }
    } finally {
      engine.free([states, nextStates]);
    }
    return positions === undefined ? all : { ...all, positions: positions.losses };
  }

  async #compiledFor(evaluation: TaskEvaluation, weights: EvaluatedWeights): Promise<CompiledEvaluation> {
    if (this.engine.products !== undefined) {
      this.#constants ??= weights;
      if (this.#constants.params !== weights.params) {
        const advice = 'Make an Evaluator for each, or train with an engine of float32.';
        throw new PerformerError(
          'USAGE',
          `Evaluator: expected the weights that it was compiled with, got others. ${advice}`,
        );
      }
    }
    const known = this.#compiled.get(evaluation);
    if (known !== undefined) return known;
    const compiled = await compileEvaluation(this.engine, this.task, evaluation, this.#constants);
    this.#compiled.set(evaluation, compiled);
    return compiled;
  }
}

/** Adds up the losses of an evaluation's batches by where their targets stand in a text. */
class TextPositions {
  readonly #inWindow = new Octaves();
  readonly #inText = new Octaves();
  #batches = 0;

  constructor(
    private readonly layout: TextLayout,
    private readonly rows: number,
  ) {}

  /** Batches of a window. */
  get #pieces(): number {
    return Math.ceil(this.layout.window / this.layout.length);
  }

  /** Whether the next batch begins windows. */
  get isAtStart(): boolean {
    return this.#batches % this.#pieces === 0;
  }

  /** Adds the losses of the next batch, if there are any. */
  add(targets: TargetLosses<HostTensor> | undefined): void {
    const { window, length } = this.layout;
    const before = (this.#batches % this.#pieces) * length;
    const windows = Math.floor(this.#batches / this.#pieces) * this.rows; // read before
    targets?.counts.data.forEach((isCounted, index) => {
      if (isCounted === 0) return;
      const row = windows + Math.floor(index / length);
      const position = before + (index % length) + 1;
      const loss = targets.losses.data[index] as number;
      this.#inWindow.add(position, loss);
      this.#inText.add((row === 0 ? 0 : row * window) + position, loss);
    });
    this.#batches++;
  }

  get losses(): WindowLosses {
    return { byPosition: this.#inWindow.losses, byPlace: this.#inText.losses };
  }
}

function addTo(sums: Record<string, Float64Array>, name: string, values: Float32Array | readonly number[]): void {
  sums[name] ??= new Float64Array(values.length);
  const own = sums[name];
  values.forEach((value, at) => {
    own[at] = (own[at] as number) + value;
  });
}

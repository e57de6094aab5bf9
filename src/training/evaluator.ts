/** Evaluating a task's model: every batch of each of its evaluations, their sums, and what the task makes of them. */
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Engine, EngineTensor } from '../engine/index.js';
import { initialState, type TrunkState } from '../models/index.js';
import type { EvaluationSums, Task, TaskEvaluation } from '../tasks/index.js';
import { type CompiledEvaluation, compileEvaluation } from './compiled.js';

/** What was measured on what is held out. */
export interface Evaluation {
  /** The loss of the task's first evaluation, by which the best model is chosen. */
  readonly chosen: number;
  /** All that was measured, by name: `{ windows: 1.61, streaming: 1.58 }` of a language model, in nats a token. */
  readonly measures: Readonly<Record<string, number>>;
}

/** The weights that are measured, placed where the engine computes. */
export interface EvaluatedWeights {
  readonly params: object;
  readonly buffers: object;
}

/** What evaluations compile is kept until the end. */
export class Evaluator {
  readonly #compiled = new Map<TaskEvaluation, CompiledEvaluation>();

  constructor(
    private readonly engine: Engine,
    private readonly task: Task,
  ) {}

  /** Once the signal is given it throws the signal's reason. */
  async run(weights: EvaluatedWeights, signal?: AbortSignal): Promise<Evaluation> {
    const { evaluations } = this.task;
    let chosen: number | undefined;
    let measures = {};
    for (const evaluation of evaluations) {
      const sums = await this.sums(evaluation, weights, signal);
      chosen ??= sums.total / sums.count;
      measures = { ...measures, ...this.task.measures(evaluation.name, sums) };
    }
    if (chosen === undefined) {
      throw new PerformerError('USAGE', `${this.task.name}: expected something to evaluate on, got nothing held out.`);
    }
    return { chosen, measures };
  }

  /** Frees what was compiled. */
  async dispose(): Promise<void> {
    for (const compiled of this.#compiled.values()) await compiled.dispose();
    this.#compiled.clear();
  }

  /** The sums of one of the task's evaluations, such as the confusion matrix of classes, for those who want more than measures. */
  async sums(
    evaluation: TaskEvaluation,
    { params, buffers }: EvaluatedWeights,
    signal?: AbortSignal,
  ): Promise<EvaluationSums> {
    const compiled = await this.#compiledFor(evaluation);
    const fresh = (): readonly TrunkState<HostTensor<'int32'>>[] =>
      evaluation.carriesState ? [initialState(this.task.model, evaluation.batch)] : [];
    type States = readonly TrunkState<EngineTensor>[];
    let [states, nextStates] = (await this.engine.place([fresh(), fresh()] as const)) as readonly [States, States];
    const all = { total: 0, count: 0, sums: {} as Record<string, Float64Array> };
    try {
      for await (const batch of evaluation.batches()) {
        signal?.throwIfAborted();
        const { total, count, sums, told } = await compiled.run({ params, buffers, states, batch, nextStates });
        all.total += total;
        all.count += count;
        for (const [name, { data }] of Object.entries(sums)) addTo(all.sums, name, data);
        const tallies = told === undefined ? {} : (this.task.tally?.(batch, told) ?? {});
        for (const [name, values] of Object.entries(tallies)) addTo(all.sums, name, values);
        [states, nextStates] = [nextStates, states];
      }
    } finally {
      this.engine.free([states, nextStates]);
    }
    return all;
  }

  async #compiledFor(evaluation: TaskEvaluation): Promise<CompiledEvaluation> {
    const known = this.#compiled.get(evaluation);
    if (known !== undefined) return known;
    const compiled = await compileEvaluation(this.engine, this.task, evaluation);
    this.#compiled.set(evaluation, compiled);
    return compiled;
  }
}

function addTo(sums: Record<string, Float64Array>, name: string, values: Float32Array | readonly number[]): void {
  sums[name] ??= new Float64Array(values.length);
  const own = sums[name];
  values.forEach((value, at) => {
    own[at] = (own[at] as number) + value;
  });
}

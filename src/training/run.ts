/** The loop of a training run: steps, evaluations and checkpoints, told as a stream of events. */
import { messageOf, PerformerError } from '../base/errors.js';
import type { Snapshot } from './snapshot.js';
import type { Evaluation, StepReport, Trainer } from './trainer.js';

/** Where checkpoints go. */
export interface CheckpointStore {
  /** Saves a snapshot whole or not at all, and returns where it is. */
  save(snapshot: Snapshot): Promise<string>;
}

export type RunEvent =
  | ({ readonly kind: 'step' } & StepReport)
  | ({ readonly kind: 'evaluation'; readonly step: number; readonly isBest: boolean } & Evaluation)
  | { readonly kind: 'checkpoint'; readonly step: number; readonly location: string };

export interface RunOptions {
  readonly store?: CheckpointStore;
  /** Ends the run after the step that is under way, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/**
 * Trains until `training.steps` are done or the signal is given. A checkpoint is written before the first step, at the
 * given interval, at each best evaluation, and at the end.
 *
 * @throws NUMERIC, with the last good checkpoint named, when the loss is no longer finite.
 */
export async function* runTraining(trainer: Trainer, { store, signal }: RunOptions = {}): AsyncGenerator<RunEvent> {
  const { training, step: start } = trainer.snapshot;
  let saved: { step: number; location: string } | undefined;
  async function* save(): AsyncGenerator<RunEvent> {
    const { step } = trainer.snapshot;
    if (store === undefined) return;
    saved = { step, location: await store.save(await trainer.fetchSnapshot()) };
    yield { kind: 'checkpoint', ...saved };
  }
  if (trainer.snapshot.step === 0) yield* save();
  while (trainer.snapshot.step < training.steps && !signal?.aborted) {
    let report: StepReport;
    try {
      report = await trainer.step();
    } catch (cause) {
      if (saved === undefined && start === 0) throw cause;
      const code = cause instanceof PerformerError ? cause.code : 'DEVICE';
      const last = `The last good checkpoint is ${saved?.location ?? `that of step ${start}, where this run went on`}.`;
      throw new PerformerError(code, `${messageOf(cause)} ${last}`, { cause });
    }
    yield { kind: 'step', ...report };
    const { step } = report;
    const isLast = step === training.steps;
    let isBest = false;
    if (isLast || step % training.evaluationInterval === 0) {
      const evaluation = await trainer.evaluate();
      isBest = evaluation.chosen < (trainer.snapshot.best?.loss ?? Number.POSITIVE_INFINITY);
      if (isBest) trainer.noteBest(evaluation.chosen);
      yield { kind: 'evaluation', step, isBest, ...evaluation };
    }
    if (isLast || isBest || step % training.checkpointInterval === 0) yield* save();
  }
  if (saved?.step !== trainer.snapshot.step) yield* save();
}

/** The loop of a training run: steps, evaluations and checkpoints, told as a stream of events. */
import { messageOf, PerformerError } from '../base/errors.js';
import type { Evaluation } from './evaluator.js';
import { isFinished, type Snapshot } from './snapshot.js';
import { divergence, type StepReport, type Trainer } from './trainer.js';

/** Where checkpoints go. */
export interface CheckpointStore {
  /** Saves a snapshot whole or not at all, and returns where it is. */
  save(snapshot: Snapshot): Promise<string>;
}

/** What a training tells: a step done, an evaluation made, a checkpoint saved. */
export type RunEvent =
  | ({ readonly kind: 'step' } & StepReport)
  | ({ readonly kind: 'evaluation'; readonly step: number; readonly isBest: boolean } & Evaluation)
  | { readonly kind: 'checkpoint'; readonly step: number; readonly location: string };

/** Where a training saves, and what ends it early. */
export interface RunOptions {
  readonly store?: CheckpointStore | undefined;
  /** Ends the run after the step that is under way, with a checkpoint. An evaluation is left, and made when the run goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** The trainers that a loop trains: between its steps another must not come in, which would change what is being saved. */
const inTraining = new WeakSet<Trainer>();

/**
 * Trains until `training.steps` are done or the signal is given. A checkpoint is written before the first step of a new
 * run, at the given interval, at each best evaluation, and at the end.
 *
 * @throws NUMERIC, with the last good checkpoint named, when the loss, in training or on held-out text, is no longer
 *   finite; nothing is saved of such weights. USAGE while another loop trains the same trainer.
 */
export async function* runTraining(trainer: Trainer, options: RunOptions = {}): AsyncGenerator<RunEvent> {
  if (inTraining.has(trainer)) {
    throw new PerformerError(
      'USAGE',
      'runTraining: expected a trainer of its own, got one that another loop trains. End that loop first.',
    );
  }
  inTraining.add(trainer);
  try {
    yield* train(trainer, options);
  } finally {
    inTraining.delete(trainer);
  }
}

async function* train(trainer: Trainer, { store, signal }: RunOptions): AsyncGenerator<RunEvent> {
  const { training, step: start, location: origin } = trainer.snapshot;
  let saved = origin === undefined ? undefined : { step: start, location: origin };
  let before: typeof saved;
  /** A loss is that of the weights before the step: one that is not finite tells of the checkpoint just saved, too. */
  const failure = (cause: unknown): PerformerError => {
    const code = cause instanceof PerformerError ? cause.code : 'DEVICE';
    const isSuspect = code === 'NUMERIC' && (saved?.step ?? start) === trainer.snapshot.step;
    const good = isSuspect ? (training.keep > 1 ? before : undefined) : saved;
    const own = saved?.location ?? `that of step ${start}, where this run went on`;
    const last = isSuspect && good === undefined ? `The newest checkpoint, ${own}, gives it already.` : undefined;
    const message = `${messageOf(cause)} ${last ?? `The last good checkpoint is ${good?.location ?? own}.`}`;
    return new PerformerError(code, message, { cause });
  };
  async function* save(): AsyncGenerator<RunEvent> {
    const { step } = trainer.snapshot;
    if (store === undefined) return;
    const location = await store.save(await trainer.fetchSnapshot());
    if (saved?.step !== step) before = saved;
    saved = { step, location };
    yield { kind: 'checkpoint', ...saved };
  }
  if (start === 0 && saved === undefined) yield* save();
  while (!isFinished(trainer.snapshot) && !signal?.aborted) {
    const isLate = trainer.snapshot.isEvaluationDue === true; // the run was stopped before
    if (!isLate) {
      let report: StepReport;
      try {
        report = await trainer.step();
      } catch (cause) {
        throw saved === undefined && start === 0 ? cause : failure(cause);
      }
      yield { kind: 'step', ...report };
    }
    const { step, isEvaluationDue } = trainer.snapshot;
    let isBest = false;
    if (isEvaluationDue) {
      const evaluation = await trainer.evaluate(signal).catch((cause: unknown) => {
        if (!signal?.aborted || cause !== signal.reason) throw cause;
      });
      if (evaluation === undefined) break;
      if (!Number.isFinite(evaluation.chosen)) {
        const cause = divergence(step, 'a finite loss on held-out text', `${evaluation.chosen}`, training);
        throw saved === undefined && start === 0 ? cause : failure(cause);
      }
      isBest = evaluation.chosen < (trainer.snapshot.best?.loss ?? Number.POSITIVE_INFINITY);
      if (isBest) trainer.noteBest(evaluation.chosen);
      yield { kind: 'evaluation', step, isBest, ...evaluation };
    }
    const isTime = step === training.steps || step % training.checkpointInterval === 0;
    if (isTime || isBest || isLate) yield* save();
  }
  if (saved?.step !== trainer.snapshot.step) yield* save();
}

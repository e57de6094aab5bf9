/** One run of `performer compare`: trained as `performer train` does it, and read in windows of several lengths. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { bytesPerToken } from '../data/index.js';
import type { OpenSource } from '../data/node.js';
import type { Engine } from '../engine/index.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { stateBytes } from '../measure/index.js';
import { contextLosses, isFinished, type Snapshot, Trainer } from '../training/index.js';
import { CheckpointFolder } from '../training/node.js';
import { holdsRun } from '../training/node-run-folder.js';
import { type ComparedRun, type RunResult, runResultSchema } from './compare-results.js';
import type { Io } from './io.js';
import { MetricsFile, readCurve, readTimes } from './metrics.js';
import { type RunTask, runTask } from './run-data.js';
import { trainLoop } from './train-loop.js';

/** A run that is to be made. */
export interface PlannedRun {
  readonly variant: string;
  readonly seed: number;
  readonly folder: string;
  /** Fresh. */
  readonly snapshot: () => Snapshot;
}

/** What all runs of a comparison have. */
export interface RunSurroundings {
  readonly text: OpenSource;
  /** Tokens of the windows that the trained model reads in, where the text and the model are long enough. */
  readonly lengths: readonly number[];
  readonly engine: Engine;
  readonly io: Io;
}

/** How far a run came. */
export interface FinishedRun {
  readonly result: ComparedRun;
  readonly isDone: boolean;
}

/** How many steps of a model take so many seconds, by a few steps whose result is thrown away. */
export async function stepsThatFit(
  seconds: number,
  snapshot: Snapshot,
  text: OpenSource,
  engine: Engine,
): Promise<number> {
  const trainer = await Trainer.create(snapshot, { engine, task: (await runTask(snapshot, { text })).task });
  try {
    const step = () => trainer.step().catch(divergenceOf); // which takes as long as any other
    for (let i = 0; i < 4; i++) await step();
    const times: number[] = [];
    for (let i = 0; i < 9; i++) {
      const start = performance.now();
      await step();
      times.push((performance.now() - start) / 1000);
    }
    const median = times.sort((a, b) => a - b)[4] as number;
    return Math.max(1, Math.floor(seconds / median));
  } finally {
    await trainer.dispose();
  }
}

/** The error of a loss that is no longer finite; throws any other. */
function divergenceOf(cause: unknown): PerformerError {
  if (cause instanceof PerformerError && cause.code === 'NUMERIC') return cause;
  throw cause;
}

/**
 * Takes a run up where it is: trains until it is done, it diverges or the user asks to stop, and then reads the held-out text
 * by position. What a run that is done gave is kept in its folder, and not found out again.
 */
export async function finishRun(run: PlannedRun, around: RunSurroundings): Promise<FinishedRun> {
  const kept = await keptResult(run.folder);
  const metricsPath = join(run.folder, 'metrics.jsonl');
  if (kept !== undefined) return { result: { ...kept, ...(await readCurve(metricsPath)) }, isDone: true };
  const { result, isDone } = await train(run, metricsPath, around);
  if (isDone) await writeFileAtomic(join(run.folder, resultName), [`${JSON.stringify(result, undefined, 1)}\n`]);
  return { result: { ...result, ...(await readCurve(metricsPath)) }, isDone };
}

const resultName = 'result.json';

async function keptResult(folder: string): Promise<RunResult | undefined> {
  const path = join(folder, resultName);
  if ((await stat(path).catch(() => undefined)) === undefined) return undefined;
  const parsed = runResultSchema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  throw new PerformerError('CHECKPOINT', `${path}: expected the result of a run, got other JSON. Remove it.`);
}

async function train(
  { variant, seed, folder, snapshot: fresh }: PlannedRun,
  metricsPath: string,
  around: RunSurroundings,
): Promise<{ readonly result: RunResult; readonly isDone: boolean }> {
  const { text, engine, io } = around;
  const { store, snapshot } = (await holdsRun(folder))
    ? await CheckpointFolder.resume(folder)
    : { store: await CheckpointFolder.open(folder), snapshot: fresh() };
  const { training } = snapshot;
  const closers = [() => store.close()];
  let divergence: PerformerError | undefined;
  let trainer: Trainer;
  let task: RunTask;
  let readings: Readings | undefined;
  try {
    task = await runTask(snapshot, { text });
    trainer = await Trainer.create(snapshot, { engine, task: task.task });
    closers.push(() => trainer.dispose());
    if (!isFinished(snapshot)) {
      const metrics = await MetricsFile.open(metricsPath, snapshot.step);
      closers.push(() => metrics.close());
      await trainLoop(trainer, { store, metrics, io, text: task.text }).catch((cause: unknown) => {
        divergence = divergenceOf(cause);
        io.stderr.write(`note: ${variant}, seed ${seed} diverged: ${divergence.message}\n`);
      });
    }
    if (divergence === undefined && isFinished(trainer.snapshot)) readings = await read(trainer, task, around);
  } finally {
    for (const close of closers.reverse()) await close();
  }
  const { model } = task.task;
  const { median, total } = await readTimes(metricsPath);
  const tokens = training.batch * training.accumulation * training.window;
  const result = {
    ...{ variant, seed, step: trainer.snapshot.step, steps: training.steps, isDiverged: divergence !== undefined },
    parameters: trainer.parameterCount,
    features: model.mixers[0]?.traits.featureCount,
    bytesPerToken: task.text === undefined ? Number.NaN : bytesPerToken(task.text.heldOut),
    tokensPerSecond: tokens / median,
    ...{ stepSeconds: median, seconds: total, window: training.window },
    stateBytes: stateBytes(model, Math.max(...around.lengths)),
    ...readings,
  };
  return { result, isDone: result.isDiverged || readings !== undefined };
}

type Readings = Pick<RunResult, 'lengths' | 'stream'>;

/** The losses by position of a trained model on the held-out text; undefined where the user asks to stop. */
async function read(
  trainer: Trainer,
  { task: { model }, text }: RunTask,
  { engine, lengths, io }: RunSurroundings,
): Promise<Readings | undefined> {
  if (text === undefined) return {};
  const { params, buffers, training } = await trainer.fetchSnapshot();
  const longest = Math.min(text.heldOut.length - 1, model.maxLength ?? Number.POSITIVE_INFINITY);
  const windows = [...new Set([...lengths, training.window])].filter((window) => window <= longest);
  const stop = new AbortController();
  const release = io.onStop(() => stop.abort());
  try {
    const options = { windows: windows.sort((a, b) => a - b), trainingWindow: training.window, signal: stop.signal };
    const losses = await contextLosses(engine, { model, params, buffers }, text.heldOut, options);
    const lengthsOf = losses.windows.map(({ byPlace, byPosition, ...reading }) => ({
      ...{ ...reading, byPosition: [...byPosition] },
    }));
    return {
      lengths: lengthsOf,
      stream: losses.stream && { ...losses.stream, byPosition: [...losses.stream.byPosition] },
    };
  } catch (cause) {
    if (stop.signal.aborted && cause === stop.signal.reason) return undefined;
    throw cause;
  } finally {
    release();
  }
}

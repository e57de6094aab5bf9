/** `performer train` at work: prepares a run, or takes one up again, and trains. */
import { join } from 'node:path';
import { parameterCount } from '../base/layout.js';
import { flagName } from '../base/options.js';
import { bytesPerToken, wordTargets } from '../data/index.js';
import { type Model, modelOf, targetsOf, weightsToBegin } from '../models/index.js';
import { loadModel } from '../models/node.js';
import { keptTargets, type TaskFamily, targetKind, taskFamily, taskOfModel } from '../tasks/index.js';
import {
  initialSnapshot,
  isFinished,
  learningRateAt,
  type Snapshot,
  snapshotFrom,
  Trainer,
} from '../training/index.js';
import { CheckpointFolder } from '../training/node.js';
import { type Given, usageError } from './command.js';
import { noteRise } from './context-note.js';
import { continuedOptions } from './continued-options.js';
import { isConversion } from './conversion-note.js';
import { checkText, noteRun, readRunNote } from './corpus.js';
import { encodingProgress } from './encoding-progress.js';
import { chooseEngine } from './engine-flags.js';
import { formatDuration, formatLoss, formatMillions } from './format.js';
import { type Io, shellWord } from './io.js';
import { expectColumns, type LabelledFlags, labelledKeys } from './labelled-flags.js';
import { lossCurve } from './loss-curve.js';
import { MetricsFile, readCurve } from './metrics.js';
import { readModel } from './read-model.js';
import { openRunData, type RunData, type RunTask, runTask } from './run-data.js';
import { beginRun, expectOurs } from './run-folder.js';
import { expectStored } from './standard-input.js';
import type { TrainOptions } from './train-flags.js';
import { trainLoop } from './train-loop.js';
import { type AskedOptions, askedOptions, freshOptions, resumedSnapshot } from './train-options.js';

const metricsName = 'metrics.jsonl';

/** What must be given back at the end, last first. */
type Closers = (() => Promise<void>)[];

interface Prepared {
  readonly store: CheckpointFolder;
  readonly snapshot: Snapshot;
  readonly run: RunTask;
}

interface Surroundings {
  readonly given: Given<TrainOptions>;
  readonly io: Io;
  readonly closers: Closers;
}

export async function runTrain(given: Given<TrainOptions>, io: Io): Promise<void> {
  const [files = []] = given.arguments as readonly (readonly string[])[];
  const { out, resume: isResumed } = given.options;
  expectStored('train', files);
  if (out === undefined)
    throw usageError('train: expected --out with a folder for the run, got none. Add --out runs/…');
  const task = taskFamily(given.options.task ?? 'language-modelling');
  const asked = await askedOptions(given.options, given.flags, task.model);
  const closers: Closers = [];
  try {
    const prepare = isResumed ? resume : begin;
    const around = { given, io, closers };
    await train(out, await prepare(out, files, asked, around), around);
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

async function open(
  files: readonly string[],
  task: TaskFamily,
  columns: LabelledFlags,
  closers: Closers,
): Promise<RunData> {
  const data = await openRunData(files, task, columns);
  closers.push(() => data.text.close());
  return data;
}

/** The flags of labelled texts that were given. */
function columnsOf(options: TrainOptions): LabelledFlags {
  return Object.fromEntries(labelledKeys.map((key) => [key, options[key]])) as LabelledFlags;
}

/** A new run: nothing is written before all is known to be well. */
async function begin(
  out: string,
  files: readonly string[],
  asked: AskedOptions,
  { closers, io, given: { options, flags } }: Surroundings,
): Promise<Prepared> {
  if (files.length === 0)
    throw usageError('train: expected files to train on, got none. Name some, or --resume a run.');
  const from = options.from === undefined ? undefined : await readModel(options.from, io);
  const optionsOf = (all: AskedOptions) => (from === undefined ? freshOptions(all) : continuedOptions(all, from));
  const task = taskFamily(options.task ?? 'language-modelling');
  expectColumns(task, flags);
  const makeTargets = 'targets' in task ? task.targets : undefined;
  if (targetKind(task) !== 'classes' && 'classWeights' in flags) {
    throw usageError(`--class-weights: ${task.name} does not have it.`);
  }
  if (task.data === 'text' || task.data === 'pairs') optionsOf(asked); // before files are opened
  const columns = columnsOf(options);
  const data = await open(files, task, columns, closers);
  const { labelled, images, tagged } = data;
  const examples = images?.texts ?? labelled ?? (tagged && wordTargets(tagged));
  const kept = keptTargets(task, from?.model, examples);
  const made = () => examples && makeTargets?.(examples, { names: columns.label, weights: options.classWeights });
  const targets = kept === undefined ? made() : undefined;
  const ofData = { ...(targets && { targets }), ...(images && from === undefined && { image: images.size }) };
  const { model, training } = optionsOf({ ...asked, own: { ...asked.own, ...ofData } });
  const run = await runTask({ model, training }, data, encodingProgress(io)); // throws where the data do not suit it
  const store = await beginRun(out);
  closers.push(() => store.close());
  await expectOurs(out, [metricsName]);
  await noteRun(
    out,
    files,
    data.text,
    training.window,
    undefined,
    task.data === 'text' || task.data === 'images' ? undefined : columns,
  );
  const fresh = initialSnapshot(model, training);
  if (from === undefined) return { store, snapshot: fresh, run };
  if (targets !== undefined && targetsOf(from.model) !== undefined) {
    io.stderr.write(`${options.from}: its head begins anew, as the files have other ${targets.kind} than it tells.\n`);
  }
  return { store, snapshot: snapshotFrom(fresh, weightsToBegin(modelOf(model), from)), run };
}

/** A run that goes on from its newest checkpoint. */
async function resume(
  out: string,
  named: readonly string[],
  asked: AskedOptions,
  { closers, io, given }: Surroundings,
): Promise<Prepared> {
  if (given.options.from !== undefined)
    throw usageError('--from: a run goes on with what it began with. Leave it out.');
  if (await isConversion(out)) {
    throw usageError(
      `--resume: expected the run of a training, got a conversion in ${out}. Use performer convert --resume.`,
    );
  }
  const { store, snapshot: saved } = await CheckpointFolder.resume(out);
  closers.push(() => store.close());
  const snapshot = resumedSnapshot(saved, asked, out);
  const note = await readRunNote(out);
  const files = named.length > 0 ? named : (note?.files ?? []);
  if (files.length === 0)
    throw usageError(`train: expected the files of the run in ${out}, which noted none. Name them.`);
  const task = taskOfModel(modelOf(snapshot.model));
  expectSame(given, task.name);
  const data = await open(files, task, note?.labelled ?? columnsOf(given.options), closers);
  const doubt = note === undefined ? undefined : await checkText(out, note, files, data.text);
  if (doubt !== undefined) io.stderr.write(`note: ${doubt}.\n`);
  const jump = rateJump(saved, snapshot);
  if (jump !== undefined) io.stdout.write(`${jump}\n`);
  return { store, snapshot, run: await runTask(snapshot, data, encodingProgress(io)) };
}

/** Throws USAGE for what a run has from its beginning. */
function expectSame({ options, flags }: Given<TrainOptions>, task: string): void {
  if (options.task !== undefined && options.task !== task) {
    throw usageError(`--task: expected ${task}, with which the run began, got ${options.task}. Leave it out.`);
  }
  const own = [...labelledKeys, 'classWeights'].find((key) => key in flags);
  if (own === undefined) return;
  throw usageError(`--${flagName(own)}: a run goes on with what it began with. Leave it out.`);
}

/** A line about a learning rate that jumps as the run is made longer or shorter; undefined where it does not. */
function rateJump({ step, training: before }: Snapshot, { training: now }: Snapshot): string | undefined {
  const [expected, next] = [learningRateAt(step, before), learningRateAt(step, now)];
  if (step === 0 || step >= now.steps || Math.abs(next - expected) <= 0.05 * expected) return undefined;
  const told = (rate: number) => Number(rate.toPrecision(3)).toExponential();
  return (
    `The learning rate goes from ${told(learningRateAt(step - 1, before))} at step ${step} to ${told(next)} at step ` +
    `${step + 1}, as the schedule ${now.schedule} now ends at step ${now.steps} instead of ${before.steps}. Begin a run ` +
    'with --schedule inverse-square-root or constant, and it can be made longer without a jump.'
  );
}

async function train(out: string, { store, snapshot, run }: Prepared, around: Surroundings): Promise<void> {
  const { given, io, closers } = around;
  const { training, step: start } = snapshot;
  if (isFinished(snapshot)) {
    io.stdout.write(
      `The run in ${out} has done its ${start} steps. Go on with --resume --steps and a larger number.\n`,
    );
    return;
  }
  const { task, told, text } = run;
  const engine = await chooseEngine(given.options);
  const trainer = await Trainer.create(snapshot, { engine, task });
  closers.push(() => trainer.dispose());
  const metricsPath = join(out, metricsName);
  const metrics = await MetricsFile.open(metricsPath, start);
  closers.push(() => metrics.close());
  io.stdout.write(
    `${formatMillions(trainer.parameterCount)} parameters${besides(snapshot)}, ${told}, ${engine.name}${start === 0 ? '' : `, from step ${start} on`}\n`,
  );
  const began = performance.now();
  await trainLoop(trainer, { store, metrics, io, text });
  const { step, best } = trainer.snapshot;
  const curve = lossCurve(await readCurve(metricsPath));
  if (curve !== '') io.stdout.write(`\n${curve}\n\n`);
  const took = formatDuration((performance.now() - began) / 1000);
  if (!isFinished(trainer.snapshot)) {
    io.stdout.write(`Stopped after step ${step} of ${training.steps} (${took}) and saved. Go on with:\n`);
    io.stdout.write(`  ${resumeCommand(out, given, io)}\n`);
    return;
  }
  const held =
    best === undefined
      ? ''
      : `, best on held-out text: ${text ? formatLoss(best.loss, bytesPerToken(text.heldOut)) : `loss ${best.loss.toFixed(4)}`} at step ${best.step}`;
  io.stdout.write(`${step} steps done in ${took}${held}. The model is in ${out}. Try:\n`);
  io.stdout.write(`  ${io.command} ${tryNext(task.model, shellWord(out))}\n`);
  if (text !== undefined) noteRise(io, 'The held-out text', (await loadModel(out)).context);
}

/** How many parameters stay beside those that are learned, where some do. */
function besides({ base }: Snapshot): string {
  return base === undefined ? '' : ` learned beside the ${formatMillions(parameterCount(base))} of the model`;
}

/** What can be done with a model. */
function tryNext(model: Model, out: string): string {
  const { isCausal, config, readSource, image } = model;
  if (image !== undefined) return isCausal ? `generate ${out} --out images.png` : `predict ${out} images/*.png`;
  if (readSource !== undefined) return `generate ${out} --source "some text"`;
  if (isCausal) return `generate ${out} --prompt "The "`;
  if (taskOfModel(model).data === 'words') return `predict ${out} some.txt`;
  return targetsOf({ config }) === undefined ? `embed ${out} texts.csv` : `predict ${out} texts.csv`;
}

function resumeCommand(out: string, { flags: { threads, provider } }: Given, io: Io): string {
  const words = [io.command, 'train', '--out', shellWord(out), '--resume'];
  if (threads !== undefined) words.push('--threads', String(threads));
  if (provider !== undefined) words.push('--provider', String(provider));
  return words.join(' ');
}

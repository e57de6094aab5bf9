/** `performer train` at work: prepares a run, or takes one up again, and trains. */
import { join } from 'node:path';
import type { ByteSource } from '../data/index.js';
import { openFiles } from '../data/node.js';
import { initialSnapshot, isFinished, learningRateAt, type Snapshot, Trainer } from '../training/index.js';
import { CheckpointFolder } from '../training/node.js';
import { type Given, usageError } from './command.js';
import { checkText, noteRun, readRunNote } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import { formatCount, formatDuration, formatLoss, formatMillions } from './format.js';
import { type Io, shellWord } from './io.js';
import { lossCurve } from './loss-curve.js';
import { MetricsFile, readCurve } from './metrics.js';
import { beginRun, expectOurs } from './run-folder.js';
import { expectStored } from './standard-input.js';
import { textTask } from './text-task.js';
import type { TrainOptions } from './train-flags.js';
import { trainLoop } from './train-loop.js';
import { type AskedOptions, askedOptions, freshOptions, resumedSnapshot } from './train-options.js';

const metricsName = 'metrics.jsonl';

/** What must be given back at the end, last first. */
type Closers = (() => Promise<void>)[];

interface Prepared {
  readonly store: CheckpointFolder;
  readonly snapshot: Snapshot;
  readonly text: ByteSource;
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
  const asked = await askedOptions(given.options, given.flags);
  const closers: Closers = [];
  try {
    const prepare = isResumed ? resume : begin;
    const around = { given, io, closers };
    await train(out, await prepare(out, files, asked, around), around);
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

async function open(files: readonly string[], closers: Closers): Promise<ByteSource> {
  const text = await openFiles(files);
  closers.push(() => text.close());
  return text;
}

/** A new run: nothing is written before all is known to be well. */
async function begin(
  out: string,
  files: readonly string[],
  asked: AskedOptions,
  { closers }: Surroundings,
): Promise<Prepared> {
  if (files.length === 0)
    throw usageError('train: expected files to train on, got none. Name some, or --resume a run.');
  const { model, training } = freshOptions(asked);
  const text = await open(files, closers);
  textTask({ model, training }, text); // throws where the text does not suit it
  const store = await beginRun(out);
  closers.push(() => store.close());
  await expectOurs(out, [metricsName]);
  await noteRun(out, files, text, training.window);
  return { store, snapshot: initialSnapshot(model, training), text };
}

/** A run that goes on from its newest checkpoint. */
async function resume(
  out: string,
  named: readonly string[],
  asked: AskedOptions,
  { closers, io }: Surroundings,
): Promise<Prepared> {
  const { store, snapshot: saved } = await CheckpointFolder.resume(out);
  closers.push(() => store.close());
  const snapshot = resumedSnapshot(saved, asked, out);
  const note = await readRunNote(out);
  const files = named.length > 0 ? named : (note?.files ?? []);
  if (files.length === 0)
    throw usageError(`train: expected the files of the run in ${out}, which noted none. Name them.`);
  const text = await open(files, closers);
  const doubt = note === undefined ? undefined : await checkText(out, note, files, text);
  if (doubt !== undefined) io.stderr.write(`note: ${doubt}.\n`);
  const jump = rateJump(saved, snapshot);
  if (jump !== undefined) io.stdout.write(`${jump}\n`);
  return { store, snapshot, text };
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

async function train(out: string, { store, snapshot, text }: Prepared, around: Surroundings): Promise<void> {
  const { given, io, closers } = around;
  const { training, step: start } = snapshot;
  if (isFinished(snapshot)) {
    io.stdout.write(
      `The run in ${out} has done its ${start} steps. Go on with --resume --steps and a larger number.\n`,
    );
    return;
  }
  const { task, train: trainText, heldOut } = textTask(snapshot, text);
  const engine = await chooseEngine(given.options);
  const trainer = await Trainer.create(snapshot, { engine, task });
  closers.push(() => trainer.dispose());
  const metricsPath = join(out, metricsName);
  const metrics = await MetricsFile.open(metricsPath, start);
  closers.push(() => metrics.close());
  io.stdout.write(
    `${formatMillions(trainer.parameterCount)} parameters, ${formatCount(trainText.length)} bytes to train on, ` +
      `${formatCount(heldOut.length)} held out, ${engine.name}${start === 0 ? '' : `, from step ${start} on`}\n`,
  );
  const began = performance.now();
  await trainLoop(trainer, { store, metrics, io });
  const { step, best } = trainer.snapshot;
  const curve = lossCurve(await readCurve(metricsPath));
  if (curve !== '') io.stdout.write(`\n${curve}\n\n`);
  const took = formatDuration((performance.now() - began) / 1000);
  if (!isFinished(trainer.snapshot)) {
    io.stdout.write(`Stopped after step ${step} of ${training.steps} (${took}) and saved. Go on with:\n`);
    io.stdout.write(`  ${resumeCommand(out, given, io)}\n`);
    return;
  }
  const held = best === undefined ? '' : `, best on held-out text: ${formatLoss(best.loss)} at step ${best.step}`;
  io.stdout.write(`${step} steps done in ${took}${held}. The model is in ${out}. Try:\n`);
  io.stdout.write(`  ${io.command} generate ${shellWord(out)} --prompt "The "\n`);
}

function resumeCommand(out: string, { flags: { threads, provider } }: Given, io: Io): string {
  const words = [io.command, 'train', '--out', shellWord(out), '--resume'];
  if (threads !== undefined) words.push('--threads', String(threads));
  if (provider !== undefined) words.push('--provider', String(provider));
  return words.join(' ');
}

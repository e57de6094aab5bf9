/** `performer bench` at work. */
import { availableParallelism, cpus } from 'node:os';
import { parameterCount } from '../base/layout.js';
import { writeFileAtomic } from '../interop/node.js';
import { type Profile, profileJson } from '../measure/index.js';
import { defaultFamily, modelConfig, modelOf, presetOf } from '../models/index.js';
import { initialSnapshot, readTrainingConfig } from '../training/index.js';
import type { BenchOptions } from './bench.js';
import { type BenchResult, measure, profileParts, runCounts, type Watch } from './bench-measure.js';
import { type BenchWork, type PartName, partNames } from './bench-parts.js';
import { type BenchSubject, benchText, profilesText } from './bench-text.js';
import { type Given, usageError } from './command.js';
import { trainingWindow } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import { formatCount } from './format.js';
import type { Io } from './io.js';
import { expectFile } from './output-file.js';
import { readModel } from './read-model.js';
import { rowProgress } from './row-progress.js';
import { presetNames } from './train-flags.js';

export async function runBench({ arguments: [folder], options }: Given<BenchOptions>, io: Io): Promise<void> {
  if (options.out !== undefined) await expectFile('--out', options.out);
  const { work, source } = await chooseWork(folder as string | undefined, options, io);
  const subject = subjectOf(work, source, options);
  const engineOf = (profilePrefix?: string) => chooseEngine(options, profilePrefix);
  const stop = new AbortController();
  const release = io.onStop(() => stop.abort());
  try {
    const result = await stage('measuring', runCounts.measuring(options.rounds), async (watch) =>
      measure(await engineOf(), work, options.rounds, watch),
    );
    if (result === undefined) {
      io.stderr.write('Stopped before a round was whole.\n');
      return;
    }
    if (!options.json) io.stdout.write(benchText(subject, result));
    const profiles = options.profile
      ? await stage('profiling', runCounts.profiling, (watch) => profileParts(engineOf, work, watch))
      : undefined;
    if (profiles !== undefined && !options.json) io.stdout.write(profilesText(profiles));
    const report = reportJson(subject, result, profiles);
    if (options.json) io.stdout.write(report);
    if (options.out !== undefined) await writeFileAtomic(options.out, [report]);
  } finally {
    release();
  }

  /** Runs one stage under a line of progress; undefined where it was stopped. */
  async function stage<T>(name: string, count: number, run: (watch: Watch) => Promise<T>): Promise<T | undefined> {
    const progress = rowProgress(io.stderr, `of ${formatCount(count)} runs`);
    let runs = 0;
    try {
      return await run({ signal: stop.signal, onRun: () => progress.show(name, ++runs) });
    } catch (cause) {
      if (!stop.signal.aborted || cause !== stop.signal.reason) throw cause;
      return undefined;
    } finally {
      progress.close();
    }
  }
}

/** The model of a folder, or of a preset with random weights, and the sizes to run it at. */
async function chooseWork(
  folder: string | undefined,
  { preset, length: asked, batch }: BenchOptions,
  io: Io,
): Promise<{ work: BenchWork; source: string }> {
  if (folder !== undefined && preset !== undefined) {
    throw usageError('bench: expected a folder with a model, or --preset, got both. Leave one out.');
  }
  if (folder === undefined) {
    const name = preset ?? presetNames[0];
    const { model, training } = presetOf(name, defaultFamily);
    const config = modelConfig(model);
    const asTrained = readTrainingConfig(training, 'bench');
    const { params, buffers } = initialSnapshot(config, asTrained);
    const length = asked ?? asTrained.window;
    return { work: { loaded: { model: modelOf(config), params, buffers }, length, batch }, source: `preset ${name}` };
  }
  const loaded = await readModel(folder, io);
  const { maxLength = Number.POSITIVE_INFINITY } = loaded.model;
  if (asked !== undefined && asked > maxLength) {
    throw usageError(`--length: expected at most the ${maxLength} tokens that the model can read, got ${asked}.`);
  }
  const length = asked ?? Math.min((await trainingWindow(folder)) ?? 1024, maxLength);
  return { work: { loaded, length, batch }, source: folder };
}

function subjectOf(
  { loaded, length, batch }: BenchWork,
  source: string,
  { threads, provider }: BenchOptions,
): BenchSubject {
  const machine = {
    processor: cpus()[0]?.model ?? 'unknown processor',
    cores: cpus().length,
    threads: threads ?? availableParallelism(),
    node: process.version,
    provider,
  };
  return { model: source, parameters: parameterCount(loaded.params), length, batch, machine };
}

function reportJson(
  subject: BenchSubject,
  result: BenchResult,
  profiles: Readonly<Record<PartName, Profile>> | undefined,
): string {
  const profile =
    profiles === undefined
      ? {}
      : { profile: Object.fromEntries(partNames.map((name) => [name, profileJson(profiles[name])])) };
  return `${JSON.stringify({ ...subject, ...result, ...profile }, undefined, 1)}\n`;
}

/** `performer compare` at work: one run after another, each as `performer train` has it, and a ranking after each. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { flagName } from '../base/options.js';
import { bytesPerToken } from '../data/index.js';
import { type OpenSource, openFiles } from '../data/node.js';
import type { Engine } from '../engine/index.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { folderError, makeFolder } from '../interop/node-folders.js';
import { modelConfig } from '../models/index.js';
import { initialSnapshot, isFinished, readTrainingConfig, type Snapshot, Trainer } from '../training/index.js';
import { CheckpointFolder, lockFolder } from '../training/node.js';
import { holdsRun } from '../training/node-run-folder.js';
import { type Given, usageError } from './command.js';
import type { CompareOptions } from './compare.js';
import { type ComparedKernel, folderName, parseKernels } from './compare-kernels.js';
import { type ComparedRun, curvesCsv, rankingTable, rankKernels } from './compare-results.js';
import { checkText, noteRun, readRunNote } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import { keyOf } from './flags.js';
import { type Io, shellWord } from './io.js';
import { MetricsFile, readCurve, readSpeed } from './metrics.js';
import { type OptionValues, pickValues } from './option-values.js';
import { runTask } from './run-data.js';
import { expectOurs } from './run-folder.js';
import { expectStored } from './standard-input.js';
import { kernelChoices, optionFlag } from './train-flags.js';
import { trainLoop } from './train-loop.js';
import { type AskedOptions, askedOptions, freshOptions, type RunOptions } from './train-options.js';

const plannedSchema = z.strictObject({ kernel: z.string(), seed: z.int(), model: z.unknown(), training: z.unknown() });
const planSchema = z.strictObject({ version: z.literal(1), runs: z.array(plannedSchema).min(1) });

interface PlannedRun {
  readonly kernel: string;
  readonly seed: number;
  readonly folder: string;
  /** Fresh. */
  readonly snapshot: () => Snapshot;
}

export async function runCompare(given: Given<CompareOptions>, io: Io): Promise<void> {
  const [files = []] = given.arguments as readonly (readonly string[])[];
  const { out, resume: isResumed } = given.options;
  expectStored('compare', files);
  if (out === undefined) throw usageError('compare: expected --out with a folder, got none. Add --out runs/…');
  const closers: (() => Promise<void>)[] = [];
  try {
    const engine = await chooseEngine(given.options);
    const { text, runs } = isResumed
      ? await resume(out, files, given, { io, closers })
      : await begin(out, files, given, { engine, io, closers });
    await compare(out, runs, text, { engine, io });
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

const planName = 'compare.json';

interface Beginning {
  readonly engine: Engine;
  readonly io: Io;
  readonly closers: (() => Promise<void>)[];
}

interface Prepared {
  readonly text: OpenSource;
  readonly runs: readonly PlannedRun[];
}

async function begin(
  out: string,
  files: readonly string[],
  { options, flags }: Given<CompareOptions>,
  { engine, io, closers }: Beginning,
): Promise<Prepared> {
  if (files.length === 0) throw usageError('compare: expected files to train on, got none. Name some, or --resume.');
  const { kernels: list, seeds, minutes } = options;
  if (minutes !== undefined && flags.steps !== undefined)
    throw usageError('compare: expected --steps or --minutes, got both.');
  const kernels = parseKernels(list);
  const asked = await askedOptions(options, flags);
  const varied = kernelChoices.find(({ key }) => key in asked.own);
  if (varied !== undefined)
    throw usageError(`${asked.nameOf(varied.key)}: expected it among the names of --kernels, which choose it.`);
  const optionsOf = (kernel: ComparedKernel, more?: OptionValues) => kernelRun(asked, kernel, more);
  const [first] = kernels.map((kernel) => optionsOf(kernel)) as [RunOptions];
  const { training } = first;
  const text = await openFiles(files);
  closers.push(() => text.close());
  await runTask(first, { text }); // throws where the text does not suit it
  await makeFolder(out).catch((cause: unknown) => {
    throw folderError(out, cause);
  });
  closers.push((await lockFolder(out)).release);
  if ((await stat(join(out, planName)).catch(() => undefined)) !== undefined) {
    throw usageError(`--out ${out}: expected a folder without a comparison, got one. Add --resume to go on with it.`);
  }
  const seedList = Array.from({ length: seeds }, (_, index) => training.seed + index);
  const folders = kernels.flatMap((kernel) => seedList.map((seed) => join('runs', folderName(kernel, seed))));
  await expectOurs(out, ['results.json', 'ranking.md', 'curves.csv', ...folders]);
  const runs: z.output<typeof plannedSchema>[] = [];
  for (const kernel of kernels) {
    const own = optionsOf(kernel);
    let length: OptionValues = {};
    if (minutes !== undefined) {
      const steps = await stepsThatFit(minutes * 60, initialSnapshot(own.model, own.training), text, engine);
      io.stdout.write(`${kernel.name}: ${steps} steps fit into ${minutes} minutes\n`);
      length = { steps };
    }
    for (const seed of seedList) runs.push({ kernel: kernel.name, seed, ...optionsOf(kernel, { ...length, seed }) });
  }
  await noteRun(out, files, text, training.window);
  await writeFileAtomic(join(out, planName), [`${JSON.stringify({ version: 1, runs }, undefined, 1)}\n`]);
  return { text, runs: runs.map((run) => plannedRun(out, kernels, run)) };
}

/** The options of a run with a kernel: what only some kernels have holds, as a preset does, where this one can have it. */
function kernelRun(asked: AskedOptions, kernel: ComparedKernel, more: OptionValues = {}): RunOptions {
  const dependsOnKernel = (key: string) =>
    key === 'redrawInterval' || optionFlag(key)?.variants.some(({ path }) => keyOf(path) in kernel.options) === true;
  const shared = pickValues(asked.own, (key) => !dependsOnKernel(key));
  const preset = { ...asked.preset, ...pickValues(asked.own, dependsOnKernel) };
  return freshOptions({ ...asked, own: { ...shared, ...kernel.options, ...more }, preset }, ` of ${kernel.name}`);
}

function plannedRun(
  out: string,
  kernels: readonly ComparedKernel[],
  { kernel: name, seed, model, training }: z.output<typeof plannedSchema>,
): PlannedRun {
  const kernel = kernels.find((each) => each.name === name) as ComparedKernel;
  const plan = join(out, planName);
  return {
    kernel: name,
    seed,
    folder: join(out, 'runs', folderName(kernel, seed)),
    snapshot: () =>
      initialSnapshot(modelConfig(model, `${plan}: model`), readTrainingConfig(training, `${plan}: training`)),
  };
}

async function resume(
  out: string,
  files: readonly string[],
  { flags }: Given<CompareOptions>,
  { io, closers }: Pick<Beginning, 'io' | 'closers'>,
): Promise<Prepared> {
  const changed = Object.keys(flags).find((key) => !['out', 'resume', 'threads', 'provider'].includes(key));
  if (changed !== undefined)
    throw usageError(
      `--${optionFlag(changed)?.flag ?? flagName(changed)}: expected only --out with --resume: a comparison goes on as it began.`,
    );
  const path = join(out, planName);
  if ((await stat(path).catch(() => undefined)) === undefined) {
    throw new PerformerError('CHECKPOINT', `--out ${out}: expected a comparison to resume, got none there.`);
  }
  closers.push((await lockFolder(out)).release);
  const plan = planSchema.safeParse(await readJson(path));
  if (!plan.success) throw new PerformerError('CHECKPOINT', `${path}: expected the plan of a comparison of version 1.`);
  const note = await readRunNote(out);
  const named = files.length > 0 ? files : (note?.files ?? []);
  const text = await openFiles(named);
  closers.push(() => text.close());
  const doubt = note === undefined ? undefined : await checkText(out, note, named, text);
  if (doubt !== undefined) io.stderr.write(`note: ${doubt}.\n`);
  const kernels = parseKernels([...new Set(plan.data.runs.map(({ kernel }) => kernel))].join(','));
  return { text, runs: plan.data.runs.map((run) => plannedRun(out, kernels, run)) };
}

/** How many steps of a model take so many seconds, by a few steps whose result is thrown away. */
async function stepsThatFit(seconds: number, snapshot: Snapshot, text: OpenSource, engine: Engine): Promise<number> {
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

/** Seeds outside, kernels inside: what is done at any time compares equals. */
async function compare(
  out: string,
  runs: readonly PlannedRun[],
  text: OpenSource,
  around: { readonly engine: Engine; readonly io: Io },
): Promise<void> {
  const { io } = around;
  const order = [...runs].sort((a, b) => a.seed - b.seed);
  const results: ComparedRun[] = [];
  for (const [index, run] of order.entries()) {
    io.stdout.write(`run ${index + 1}/${order.length}: ${run.kernel}, seed ${run.seed}\n`);
    const { result, isDone } = await finish(run, text, around);
    results.push(result);
    await writeResults(out, results);
    if (!isDone) {
      io.stdout.write(`Stopped and saved. Go on with:\n  ${io.command} compare --out ${shellWord(out)} --resume\n`);
      return;
    }
  }
  io.stdout.write(`\n${rankingTable(rankKernels(results))}\n\nThe table and the curves are in ${out}.\n`);
}

async function writeResults(out: string, results: readonly ComparedRun[]): Promise<void> {
  const ranking = rankKernels(results);
  const summaries = results.map(({ train, ...rest }) => rest);
  await writeFileAtomic(join(out, 'results.json'), [`${JSON.stringify({ ranking, runs: summaries }, undefined, 1)}\n`]);
  await writeFileAtomic(join(out, 'ranking.md'), [`${rankingTable(ranking)}\n`]);
  await writeFileAtomic(join(out, 'curves.csv'), [curvesCsv(results)]);
}

/** The error of a loss that is no longer finite; throws any other. */
function divergenceOf(cause: unknown): PerformerError {
  if (cause instanceof PerformerError && cause.code === 'NUMERIC') return cause;
  throw cause;
}

/** Takes a run up where it is, and trains until it is done, it diverges or the user asks to stop. */
async function finish(
  { kernel, seed, folder, snapshot: fresh }: PlannedRun,
  text: OpenSource,
  { engine, io }: { readonly engine: Engine; readonly io: Io },
): Promise<{ readonly result: ComparedRun; readonly isDone: boolean }> {
  const { store, snapshot } = (await holdsRun(folder))
    ? await CheckpointFolder.resume(folder)
    : { store: await CheckpointFolder.open(folder), snapshot: fresh() };
  const { training } = snapshot;
  const metricsPath = join(folder, 'metrics.jsonl');
  const closers = [() => store.close()];
  let divergence: PerformerError | undefined;
  let trainer: Trainer;
  let features: number | undefined;
  let bytes: number;
  try {
    const { task, text: split } = await runTask(snapshot, { text });
    bytes = split === undefined ? Number.NaN : bytesPerToken(split.heldOut);
    features = task.model.mixers[0]?.traits.featureCount;
    trainer = await Trainer.create(snapshot, { engine, task });
    closers.push(() => trainer.dispose());
    if (!isFinished(snapshot)) {
      const metrics = await MetricsFile.open(metricsPath, snapshot.step);
      closers.push(() => metrics.close());
      await trainLoop(trainer, { store, metrics, io, text: split }).catch((cause: unknown) => {
        divergence = divergenceOf(cause);
        io.stderr.write(`note: ${kernel}, seed ${seed} diverged: ${divergence.message}\n`);
      });
    }
  } finally {
    for (const close of closers.reverse()) await close();
  }
  const curve = await readCurve(metricsPath);
  const result = {
    kernel,
    seed,
    step: trainer.snapshot.step,
    steps: training.steps,
    isDiverged: divergence !== undefined,
    parameters: trainer.parameterCount,
    features,
    bytesPerToken: bytes,
    tokensPerSecond: await readSpeed(metricsPath, training.batch * training.accumulation * training.window),
    heldOut: curve.heldOut,
    train: curve.train,
  };
  return { result, isDone: result.isDiverged || isFinished(trainer.snapshot) };
}

/** `performer compare` at work: one run after another, each as `performer train` has it, and a ranking after each. */
import { join } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { flagName } from '../base/options.js';
import { isFromFile, knownTokenizer, openTokenizer, tokenizerNamed } from '../data/index.js';
import { type OpenSource, openFiles, readTokenizerFolder } from '../data/node.js';
import type { Engine } from '../engine/index.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { isThere } from '../interop/node-files.js';
import { folderError, makeFolder } from '../interop/node-folders.js';
import { modelConfig } from '../models/index.js';
import { initialSnapshot, readTrainingConfig } from '../training/index.js';
import { lockFolder } from '../training/node.js';
import { type Given, usageError } from './command.js';
import type { CompareOptions } from './compare.js';
import type { ComparedVariant } from './compare-kernels.js';
import { type FinishedRun, finishRun, type PlannedRun, stepsThatFit } from './compare-one.js';
import { type ComparedRun, curvesCsv, positionsCsv, rankingTable, rankVariants } from './compare-results.js';
import { comparedVariants, expectUnvaried, folderName, variantRun } from './compare-variants.js';
import { checkText, noteRun, readRunNote } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import { type Io, shellWord } from './io.js';
import type { OptionValues } from './option-values.js';
import { runTask } from './run-data.js';
import { expectOurs } from './run-folder.js';
import { expectStored } from './standard-input.js';
import { optionFlag } from './train-flags.js';
import { askedOptions, type RunOptions } from './train-options.js';

const plannedSchema = z.strictObject({ variant: z.string(), seed: z.int(), model: z.unknown(), training: z.unknown() });
const planSchema = z.strictObject({
  version: z.literal(2),
  /** Tokens of the windows that trained models read in. */
  lengths: z.array(z.int().min(1)).min(1),
  runs: z.array(plannedSchema).min(1),
});
type Plan = z.output<typeof planSchema>;

export async function runCompare(given: Given<CompareOptions>, io: Io): Promise<void> {
  const [files = []] = given.arguments as readonly (readonly string[])[];
  const { out, resume: isResumed } = given.options;
  expectStored('compare', files);
  if (out === undefined) throw usageError('compare: expected --out with a folder, got none. Add --out runs/…');
  const closers: (() => Promise<void>)[] = [];
  try {
    const engine = await chooseEngine(given.options);
    const prepared = isResumed
      ? await resume(out, files, given, { io, closers })
      : await begin(out, files, given, { engine, io, closers });
    await compare(out, prepared, { engine, io });
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

const planName = 'compare.json';
const resultFiles = ['results.json', 'ranking.md', 'curves.csv', 'positions.csv'];

interface Beginning {
  readonly engine: Engine;
  readonly io: Io;
  readonly closers: (() => Promise<void>)[];
}

interface Prepared {
  readonly text: OpenSource;
  readonly lengths: readonly number[];
  readonly runs: readonly PlannedRun[];
}

async function begin(
  out: string,
  files: readonly string[],
  given: Given<CompareOptions>,
  { engine, io, closers }: Beginning,
): Promise<Prepared> {
  if (files.length === 0) throw usageError('compare: expected files to train on, got none. Name some, or --resume.');
  const { options, flags } = given;
  const { seeds, minutes } = options;
  if (minutes !== undefined && flags.steps !== undefined)
    throw usageError('compare: expected --steps or --minutes, got both.');
  const variants = await comparedVariants(given);
  const asked = await askedOptions(options, flags);
  expectUnvaried(asked, given);
  const optionsOf = (variant: ComparedVariant, more?: OptionValues) => variantRun(asked, variant, more);
  const all = variants.map((variant) => optionsOf(variant));
  const [first] = all as [RunOptions];
  const { training } = first;
  const text = await openFiles(files);
  closers.push(() => text.close());
  await runTask(first, { text }); // throws where the text does not suit it
  await makeFolder(out).catch((cause: unknown) => {
    throw folderError(out, cause);
  });
  closers.push((await lockFolder(out)).release);
  if (await isThere(join(out, planName))) {
    throw usageError(`--out ${out}: expected a folder without a comparison, got one. Add --resume to go on with it.`);
  }
  const seedList = Array.from({ length: seeds }, (_, index) => training.seed + index);
  const folders = variants.flatMap(({ name }) => seedList.map((seed) => join('runs', folderName(name, seed))));
  await expectOurs(out, [...resultFiles, ...folders]);
  const runs: Plan['runs'] = [];
  for (const variant of variants) {
    const own = optionsOf(variant);
    let length: OptionValues = {};
    if (minutes !== undefined) {
      const steps = await stepsThatFit(minutes * 60, initialSnapshot(own.model, own.training), text, engine);
      io.stdout.write(`${variant.name}: ${steps} steps fit into ${minutes} minutes\n`);
      length = { steps };
    }
    for (const seed of seedList) {
      runs.push({ variant: variant.name, seed, ...optionsOf(variant, { ...length, seed }) });
    }
  }
  await noteRun(out, files, text, training.window);
  await keepTokenizers(out, all);
  const least = Math.min(...all.map((run) => run.training.window));
  const lengths = options.lengths ?? [least, 4 * least, 16 * least];
  await writeFileAtomic(join(out, planName), [`${JSON.stringify({ version: 2, lengths, runs }, undefined, 1)}\n`]);
  return { text, lengths, runs: runs.map((run) => plannedRun(out, run)) };
}

/** The folder in which a comparison keeps a tokenizer that its models have from a file. */
function tokenizerFolder(out: string, name: string): string {
  return join(out, 'tokenizers', name.replace(/.*:/, ''));
}

/** Keeps the tokenizers from files, so that the comparison can go on without them. */
async function keepTokenizers(out: string, runs: readonly RunOptions[]): Promise<void> {
  for (const name of new Set(runs.map(({ model }) => model.tokenizer).filter(isFromFile))) {
    const folder = tokenizerFolder(out, name);
    await makeFolder(folder);
    for (const [file, bytes] of tokenizerNamed(name).files?.() ?? [])
      await writeFileAtomic(join(folder, file), [bytes]);
  }
}

async function openTokenizers(out: string, runs: Plan['runs']): Promise<void> {
  for (const { model } of runs) {
    const { tokenizer } = Object(model) as { readonly tokenizer?: unknown };
    if (!isFromFile(tokenizer) || knownTokenizer(tokenizer) !== undefined) continue;
    const folder = tokenizerFolder(out, tokenizer);
    await openTokenizer(model, () => readTokenizerFolder(folder), `${folder}/`);
  }
}

function plannedRun(out: string, { variant, seed, model, training }: Plan['runs'][number]): PlannedRun {
  const plan = join(out, planName);
  return {
    variant,
    seed,
    folder: join(out, 'runs', folderName(variant, seed)),
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
  if (!(await isThere(path))) {
    throw new PerformerError('CHECKPOINT', `--out ${out}: expected a comparison to resume, got none there.`);
  }
  closers.push((await lockFolder(out)).release);
  const plan = planSchema.safeParse(await readJson(path));
  if (!plan.success) throw new PerformerError('CHECKPOINT', `${path}: expected the plan of a comparison of version 2.`);
  await openTokenizers(out, plan.data.runs);
  const note = await readRunNote(out);
  const named = files.length > 0 ? files : (note?.files ?? []);
  const text = await openFiles(named);
  closers.push(() => text.close());
  const doubt = note === undefined ? undefined : await checkText(out, note, named, text);
  if (doubt !== undefined) io.stderr.write(`note: ${doubt}.\n`);
  const { lengths, runs } = plan.data;
  return { text, lengths, runs: runs.map((run) => plannedRun(out, run)) };
}

/** Seeds outside, variants inside: what is done at any time compares equals. */
async function compare(
  out: string,
  { text, lengths, runs }: Prepared,
  around: { readonly engine: Engine; readonly io: Io },
): Promise<void> {
  const { io } = around;
  const order = [...runs].sort((a, b) => a.seed - b.seed);
  const results: ComparedRun[] = [];
  for (const [index, run] of order.entries()) {
    io.stdout.write(`run ${index + 1}/${order.length}: ${run.variant}, seed ${run.seed}\n`);
    const { result, isDone }: FinishedRun = await finishRun(run, { text, lengths, ...around });
    results.push(result);
    await writeResults(out, results);
    if (!isDone) {
      io.stdout.write(`Stopped and saved. Go on with:\n  ${io.command} compare --out ${shellWord(out)} --resume\n`);
      return;
    }
  }
  io.stdout.write(`\n${rankingTable(rankVariants(results))}\n\nThe table and the curves are in ${out}.\n`);
}

async function writeResults(out: string, results: readonly ComparedRun[]): Promise<void> {
  const ranking = rankVariants(results);
  const summaries = results.map(({ train, ...rest }) => rest);
  await writeFileAtomic(join(out, 'results.json'), [`${JSON.stringify({ ranking, runs: summaries }, undefined, 1)}\n`]);
  await writeFileAtomic(join(out, 'ranking.md'), [`${rankingTable(ranking)}\n`]);
  await writeFileAtomic(join(out, 'curves.csv'), [curvesCsv(results)]);
  await writeFileAtomic(join(out, 'positions.csv'), [positionsCsv(results)]);
}

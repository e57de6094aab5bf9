/** `performer convert` at work: two trainings one after another, and a table of what each brought. */
import { join, resolve } from 'node:path';
import { withArticle } from '../base/article.js';
import { messageOf, PerformerError } from '../base/errors.js';
import { describeIssues, flagName } from '../base/options.js';
import { type ByteSource, splitCorpus, tokenSource } from '../data/index.js';
import { type OpenSource, openFiles } from '../data/node.js';
import type { Engine } from '../engine/index.js';
import {
  forLongerTexts,
  type LoadedModel,
  type ModelConfig,
  type ModelWeights,
  modelConfig,
  modelOf,
  tokenizerOf,
} from '../models/index.js';
import { loadModel, loadModelFiles } from '../models/node.js';
import { distillation, type Task, type Teacher, taskOfModel } from '../tasks/index.js';
import { rankProblem } from '../training/adapters.js';
import { trainingSchema } from '../training/config.js';
import {
  Evaluator,
  initialSnapshot,
  isFinished,
  type Snapshot,
  snapshotFrom,
  Trainer,
  type TrainingConfig,
} from '../training/index.js';
import { CheckpointFolder } from '../training/node.js';
import { holdsRun } from '../training/node-run-folder.js';
import { type Given, usageError } from './command.js';
import { isConversion, noteConversion, readConversion } from './conversion-note.js';
import { type ConvertOptions, conversionDefaults, convertedFlags, trainingFlags } from './convert.js';
import { withChosenFeatures } from './convert-features.js';
import { checkText, noteRun, readRunNote, trainingWindow } from './corpus.js';
import { chooseEngine } from './engine-flags.js';
import { alignedLines } from './format.js';
import { type Io, shellWord } from './io.js';
import { MetricsFile } from './metrics.js';
import { nestedOptions, pickValues } from './option-values.js';
import { beginRun } from './run-folder.js';
import { expectStored } from './standard-input.js';
import { trainLoop } from './train-loop.js';

/** What a conversion is, whenever it goes on. */
interface Conversion {
  readonly teacher: LoadedModel;
  readonly model: ModelConfig;
  readonly training: TrainingConfig;
  readonly transferSteps: number;
  readonly text: OpenSource;
}

/** One of the two trainings. */
interface Stage {
  readonly folder: string;
  readonly task: Task;
  readonly training: TrainingConfig;
  readonly told: string;
  /** The weights that it begins with. */
  begin(): Promise<Snapshot>;
}

export async function runConvert(given: Given<ConvertOptions>, io: Io): Promise<void> {
  const { out, resume } = given.options;
  const conversion = await (resume ? takenUp(given, io) : begun(given, io));
  const { teacher, model, training, text, transferSteps } = conversion;
  try {
    const engine = await chooseEngine(given.options);
    const tasks = await tasksOf(conversion);
    const { loraRank: _, loraAlpha: __, ...ofAll } = training; // adapters are for the whole
    const ofBlocks = { ...ofAll, steps: transferSteps };
    const replaced = () => snapshotFrom(initialSnapshot(model, ofBlocks), teacher);
    const transfer: Stage = {
      ...{ folder: join(out, 'transfer'), task: tasks.transfer, told: 'each block by itself' },
      training: ofBlocks,
      begin: async () => replaced(),
    };
    const whole: Stage = {
      ...{ folder: out, task: tasks.whole, training, told: 'the whole' },
      begin: async () =>
        snapshotFrom(
          initialSnapshot(model, training),
          transferSteps === 0 ? teacher : await loadModel(transfer.folder),
        ),
    };
    for (const stage of transferSteps === 0 ? [whole] : [transfer, whole]) {
      if (await isTrained(stage, engine, io)) continue;
      const words = [io.command, 'convert', '--out', shellWord(out), '--resume'];
      io.stdout.write(`Stopped and saved. Go on with:\n  ${words.join(' ')}\n`);
      return;
    }
    const rows: [string, ModelWeights][] = [['replaced', replaced()]];
    if (transferSteps > 0) rows.push(['blocks learned', await loadModel(transfer.folder)]);
    rows.push(['whole learned', await loadModel(out)]);
    const lines = await resultLines(engine, tasks, rows);
    io.stdout.write(`${lines.join('\n')}\n\nThe model is in ${out}.\n`);
  } finally {
    await text.close();
  }
}

async function begun(given: Given<ConvertOptions>, io: Io): Promise<Conversion> {
  const { options, flags } = given;
  const [folder, files = []] = given.arguments as readonly [string | undefined, readonly string[] | undefined];
  if (folder === undefined)
    throw usageError('convert: expected the folder of a model, got none. Name one, or --resume.');
  if (files.length === 0) throw usageError('convert: expected files to learn from, got none. Name some.');
  if (!convertedFlags.some(({ key }) => key in flags)) {
    throw usageError('convert: expected the attention that the new model has, got none. Add --attention.');
  }
  const ofFeatures = convertedFlags.find(({ key }) => key.startsWith('attention.features.') && key in flags);
  if (options.tolerance !== undefined && ofFeatures !== undefined) {
    throw usageError(`--tolerance: features are chosen by it, got --${ofFeatures.flag} too. Leave out one of them.`);
  }
  expectStored('convert', files);
  const { model: loaded, digest } = await loadModelFiles(folder, {
    onNote: (note) => void io.stderr.write(`${note}\n`),
  });
  const teacher = forLength(loaded, flags[lengthKey] as number | undefined);
  const asked = convertedConfig(teacher.model.config, given);
  const window = (await trainingWindow(folder)) ?? 256;
  const chosen = pickValues(flags, (key) => trainingFlags.some((flag) => flag.key === key));
  const parsed = trainingSchema.safeParse({ ...conversionDefaults, window, ...chosen });
  if (!parsed.success) throw usageError(`${describeIssues(parsed.error)}. See performer convert --help.`);
  const training = parsed.data;
  const { transferSteps, out, tolerance } = options;
  const text = await openFiles(files);
  try {
    const { whole } = await tasksOf({ teacher, model: asked, training, transferSteps, text }); // throws where they do not fit
    const ofRank = rankProblem(whole.model.params, training.loraRank);
    if (ofRank !== undefined) throw usageError(`--lora-rank: ${ofRank}. Choose a lower one.`);
    await (await beginRun(out)).close();
    await expectNoConversion(out);
    const own = { engine: await chooseEngine(options), teacher, window: training.window };
    const model =
      tolerance === undefined
        ? asked
        : await withChosenFeatures(asked, { ...own, text: await tokenSource(tokenizerOf(asked), text), tolerance }, io);
    await noteRun(out, files, text, training.window);
    await noteConversion(out, {
      version: 1,
      teacher: resolve(folder),
      digest,
      model: { ...model },
      training,
      transferSteps,
    });
    return { teacher, model, training, transferSteps, text };
  } catch (cause) {
    await text.close();
    throw cause;
  }
}

async function expectNoConversion(out: string): Promise<void> {
  if (!(await isConversion(out))) return;
  throw usageError(
    `--out ${out}: expected a folder without a conversion, got one that holds a conversion already. ` +
      'Add --resume to go on with it, or choose another folder.',
  );
}

const lengthKey = 'positions.maxLength';

/** The model to learn from: its learned positions are repeated where the new model is to read longer texts. */
function forLength(loaded: LoadedModel, maxLength: number | undefined): LoadedModel {
  const { positions } = loaded.model.config;
  const isLonger = maxLength !== undefined && positions.kind === 'learned' && maxLength > positions.maxLength;
  return isLonger ? forLongerTexts(loaded, maxLength) : loaded;
}

/** The config of the teacher with what was asked for in its place. */
function convertedConfig(config: ModelConfig, { flags }: Given<ConvertOptions>): ModelConfig {
  const asked: { positions?: object } = nestedOptions(
    pickValues(flags, (key) => convertedFlags.some((flag) => flag.key === key)),
  );
  // Of positions that are not named those stay that there are.
  const positions = { ...(asked.positions && !('kind' in asked.positions) && config.positions), ...asked.positions };
  try {
    return modelConfig({ ...config, ...asked, ...(asked.positions && { positions }) }, 'convert');
  } catch (cause) {
    if (cause instanceof PerformerError)
      throw usageError(`${messageOf(cause)} See performer convert --help.`, { cause });
    throw cause;
  }
}

async function takenUp(given: Given<ConvertOptions>, io: Io): Promise<Conversion> {
  const { out } = given.options;
  const own = [...[...convertedFlags, ...trainingFlags].map(({ key }) => key), 'transferSteps', 'tolerance'];
  const known = own.find((key) => key in given.flags);
  if (given.arguments[0] !== undefined || known !== undefined) {
    const flag = [...convertedFlags, ...trainingFlags].find(({ key }) => key === known)?.flag;
    const got = known === undefined ? String(given.arguments[0]) : `--${flag ?? flagName(known)}`;
    throw usageError(`convert: a conversion goes on with what it began with, got ${got}. Leave it out.`);
  }
  const [note, run] = [await readConversion(out), await readRunNote(out)];
  if (note === undefined || run === undefined) {
    throw usageError(`--out ${out}: expected a conversion to resume, got a folder without one.`);
  }
  const { teacher: folder, digest, transferSteps } = note;
  const loaded = await loadModelFiles(folder);
  if (loaded.digest !== digest) {
    const got = `others. Put back those with the SHA-256 ${digest}.`;
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected the weights that the conversion began with, got ${got}`,
    );
  }
  const text = await openFiles(run.files);
  try {
    const doubt = await checkText(out, run, run.files, text);
    if (doubt !== undefined) io.stderr.write(`note: ${doubt}.\n`);
  } catch (cause) {
    await text.close();
    throw cause;
  }
  const model = modelConfig(note.model, out);
  const teacher = forLength(loaded.model, modelOf(model).maxLength);
  return { teacher, model, training: trainingSchema.parse(note.training), transferSteps, text };
}

interface Tasks {
  readonly teacher: Teacher;
  readonly transfer: Task;
  readonly whole: Task;
}

async function tasksOf({ teacher, model, training, text }: Conversion): Promise<Tasks> {
  const [own, old] = [modelOf(model, training), modelOf(teacher.model.config, training)];
  const family = taskOfModel(own);
  if (family.data !== 'text') {
    throw usageError(`convert: expected a model that learns from running text, got ${withArticle(model.model)}.`);
  }
  const data = await splitCorpus(text as ByteSource, tokenizerOf(model), training);
  const [task, exact] = [family.build(own, training, data), family.build(old, training, data)];
  const given = { task: exact, weights: teacher };
  return {
    teacher: given,
    transfer: distillation(task, given, { byBlock: true }),
    whole: distillation(task, given, { byBlock: false }),
  };
}

/** Trains until all steps are done; whether they are. */
async function isTrained({ folder, task, training, told, begin }: Stage, engine: Engine, io: Io): Promise<boolean> {
  const { store, snapshot } = (await holdsRun(folder))
    ? await CheckpointFolder.resume(folder)
    : // What it begins with is evaluated too, and stays the best where no step makes it better.
      { store: await CheckpointFolder.open(folder), snapshot: { ...(await begin()), isEvaluationDue: true } };
  const closers = [() => store.close()];
  try {
    if (isFinished(snapshot)) return true;
    const trainer = await Trainer.create(snapshot, { engine, task });
    closers.push(() => trainer.dispose());
    const metrics = await MetricsFile.open(join(folder, 'metrics.jsonl'), snapshot.step);
    closers.push(() => metrics.close());
    io.stdout.write(`${told} learns, ${training.steps} steps, ${engine.name}\n`);
    await trainLoop(trainer, { store, metrics, io });
    return isFinished(trainer.snapshot);
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/** A table of the losses on the held-out text, and of the error of each block. */
async function resultLines(
  engine: Engine,
  { teacher, transfer, whole }: Tasks,
  rows: readonly (readonly [string, ModelWeights])[],
): Promise<readonly string[]> {
  const own = teacher.task;
  const evaluations = own.evaluations.filter(({ carriesState }) => !carriesState);
  const exact = await measured(engine, { ...own, evaluations }, teacher.weights);
  const cells: string[][] = [];
  for (const [name, weights] of rows) {
    const { loss = Number.NaN, divergence = Number.NaN } = await measured(engine, whole, weights);
    const { blocks, ...errors } = await measured(engine, transfer, weights);
    const told = Object.values(errors).map((error) => error.toFixed(3));
    cells.push([name, loss.toFixed(4), divergence.toFixed(4), ...told]);
  }
  const blocks = (cells[0] as string[]).slice(3);
  const titles = ['held-out text', 'loss', 'from exact', ...blocks.map((_, block) => `block ${block + 1}`)];
  const [loss = Number.NaN] = Object.values(exact);
  return alignedLines([titles, ['exact', loss.toFixed(4), '0.0000', ...blocks.map(() => '0.000')], ...cells]);
}

async function measured(engine: Engine, task: Task, { params, buffers }: ModelWeights) {
  const evaluator = new Evaluator(engine, task);
  try {
    return (await evaluator.run({ params, buffers })).measures;
  } finally {
    await evaluator.dispose();
  }
}

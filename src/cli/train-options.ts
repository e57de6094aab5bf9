/** From flags, a config file and a preset to the options of a run, fresh or resumed. */
import type * as z from 'zod';
import { messageOf, PerformerError } from '../base/errors.js';
import { byteVocabularySize } from '../data/byte-tokenizer.js';
import { readJson } from '../interop/node.js';
import { canCarryState, type LanguageModelConfig, languageModelSchema, presets } from '../models/config.js';
import { type TrainingConfig, trainingSchema } from '../training/config.js';
import type { Snapshot } from '../training/index.js';
import { usageError } from './command.js';
import { kernelOptions } from './compare-kernels.js';
import { type FlagValues, flagName } from './flags.js';
import { modelShape, optionFlags, runSchema, trainingShape } from './train-flags.js';

type Options = Readonly<Record<string, unknown>>;

/** The options that were asked for, and by what each was. */
export interface AskedOptions {
  /** From a preset that was named, the config file and the flags; the last wins. */
  readonly options: Options;
  /** The same without the preset. */
  readonly own: Options;
  readonly preset: Options;
  /** How the person knows an option: `--dim`, or `my.json: dim`. */
  nameOf(key: string): string;
}

export interface RunOptions {
  readonly model: LanguageModelConfig;
  readonly training: TrainingConfig;
}

/** What may change when a run goes on. */
const changeable = ['steps', 'evaluationInterval', 'checkpointInterval', 'keep'];

/** What only FAVOR+ attention reads. */
const favorOptions: readonly string[] = ['featureMap', ...kernelOptions, 'redrawInterval'];

function pick(options: Options, keys: Iterable<string>): Options {
  return Object.fromEntries([...keys].filter((key) => key in options).map((key) => [key, options[key]]));
}

/** Reads the config file, where there is one, and puts everything together. Throws USAGE. */
export async function askedOptions(flags: FlagValues): Promise<AskedOptions> {
  const path = flags.config as string | undefined;
  const { preset: filePreset, ...file } = path === undefined ? {} : await readConfigFile(path);
  const preset = runSchema.shape.preset.safeParse(flags.preset ?? filePreset);
  if (!preset.success) throw usageError(`${path}: expected a preset, got ${JSON.stringify(filePreset)}.`);
  const { model, training } = presets[preset.data];
  const isNamed = (flags.preset ?? filePreset) !== undefined;
  const given = pick(
    flags,
    optionFlags.map(({ key }) => key),
  );
  const own = { ...file, ...given };
  return {
    own,
    preset: { ...model, ...training },
    options: isNamed ? { ...withOwnCount({ ...model, ...training }, own), ...own } : own,
    nameOf: (key) => (key in file && !(key in given) ? `${path}: ${key}` : `--${flagName(key)}`),
  };
}

async function readConfigFile(path: string): Promise<Options> {
  let value: unknown;
  try {
    value = await readJson(path);
  } catch (cause) {
    const reason = cause instanceof PerformerError ? (cause.cause ?? cause) : cause;
    throw usageError(`--config ${path}: expected a file of JSON, got ${messageOf(reason)}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usageError(
      `--config ${path}: expected one JSON object, got ${Array.isArray(value) ? 'a list' : `${value}`}.`,
    );
  }
  const known = new Set(['preset', ...Object.keys(modelShape), ...Object.keys(trainingShape)]);
  const unknown = Object.keys(value).filter((key) => !known.has(key));
  if (unknown.length > 0) {
    throw usageError(
      `--config ${path}: expected options of train, got ${unknown.join(', ')}. See performer train --help.`,
    );
  }
  return value as Options;
}

/** The options for several kernels: what only FAVOR+ reads is as the preset's, which holds where a kernel can have it. */
export function sharedOptions(asked: AskedOptions): AskedOptions {
  const own = Object.fromEntries(Object.entries(asked.own).filter(([key]) => !favorOptions.includes(key)));
  return { ...asked, own, preset: { ...asked.preset, ...pick(asked.own, favorOptions) } };
}

/** The options of a new run, of `whose` where there are several. Throws USAGE with every problem. */
export function freshOptions({ own, preset, nameOf }: AskedOptions, whose = ''): RunOptions {
  const all = { ...withOwnCount(preset, own), ...own };
  const model = languageModelSchema.safeParse(pick(all, Object.keys(modelShape)));
  const training = trainingSchema.safeParse(pick(all, Object.keys(trainingShape)));
  if (!model.success || !training.success) {
    const issues = [...(model.error?.issues ?? []), ...(training.error?.issues ?? [])];
    throw usageError(`${describe(issues, (key) => `${nameOf(key)}${whose}`)}. See --help.`);
  }
  checkFit(model.data, training.data, { own, nameOf });
  return { model: model.data, training: training.data };
}

/** The preset, without its number of features where the map that was asked for has a number of its own. */
function withOwnCount({ featureCount, ...preset }: Options, own: Options): Options {
  const model = languageModelSchema.safeParse(pick({ ...preset, ...own }, Object.keys(modelShape)));
  const suits = languageModelSchema.safeParse(
    pick({ ...preset, featureCount, ...own }, Object.keys(modelShape)),
  ).success;
  return model.success && !suits ? preset : { ...preset, featureCount };
}

function describe(issues: readonly z.core.$ZodIssue[], nameOf: (key: string) => string): string {
  return issues.map(({ path, message }) => `${nameOf(String(path[0]))}: ${message}`).join('; ');
}

/** What neither schema sees alone, or what is there though it would be ignored. */
function checkFit(
  model: LanguageModelConfig,
  training: TrainingConfig,
  { own, nameOf }: Pick<AskedOptions, 'own' | 'nameOf'>,
): void {
  const { attention, positions, maxLength, vocabularySize } = model;
  if (training.carryState && !canCarryState(model)) {
    const got = `${attention} attention and ${positions} positions`;
    throw usageError(`${nameOf('carryState')}: expected favor+ attention and rotary or no positions, got ${got}.`);
  }
  if (maxLength !== undefined && training.window > maxLength) {
    throw usageError(
      `${nameOf('window')}: expected at most the ${maxLength} tokens of ${nameOf('maxLength')}, got ${training.window}.`,
    );
  }
  if (vocabularySize !== byteVocabularySize) {
    const expected = `${byteVocabularySize}, one for each byte`;
    throw usageError(`${nameOf('vocabularySize')}: expected ${expected}, got ${vocabularySize}.`);
  }
  const misfits = [
    ...(attention === 'favor+' ? [] : favorOptions.map((key) => [key, 'only favor+ attention has it'] as const)),
    ...(['constant', 'inverse-square-root'].includes(training.schedule)
      ? [['finalFraction', 'only schedules that fall have it, to an end'] as const]
      : []),
  ].filter(([key]) => key in own);
  if (misfits.length > 0) {
    throw usageError(`${misfits.map(([key, message]) => `${nameOf(key)}: ${message}`).join('; ')}. See --help.`);
  }
}

/** The snapshot to go on from, with what may change changed. Throws USAGE for options that would change the run. */
export function resumedSnapshot(snapshot: Snapshot, { options, own, nameOf }: AskedOptions, folder: string): Snapshot {
  const begun: Options = { ...snapshot.model, ...snapshot.training };
  for (const [key, value] of Object.entries(options)) {
    if (changeable.includes(key) || value === begun[key]) continue;
    throw usageError(
      `${nameOf(key)}: expected ${begun[key]}, with which the run in ${folder} began, got ${value}. ` +
        'Leave it out, or begin a new run in another folder.',
    );
  }
  const training = trainingSchema.safeParse({ ...snapshot.training, ...pick(own, changeable) });
  if (!training.success) throw usageError(`${describe(training.error.issues, nameOf)}.`);
  const { steps } = training.data;
  if (steps < snapshot.step) {
    throw usageError(`${nameOf('steps')}: expected at least ${snapshot.step}, which are done, got ${steps}.`);
  }
  return { ...snapshot, training: training.data };
}

/** From flags, a config file and a preset to the options of a run, fresh or resumed. */
import { isDeepStrictEqual } from 'node:util';
import type * as z from 'zod';
import { messageOf, PerformerError } from '../base/errors.js';
import { optionNames } from '../base/options.js';
import { isFromFile, knownTokenizer } from '../data/index.js';
import { readTokenizer } from '../data/node.js';
import { readJson } from '../interop/node.js';
import { isThere } from '../interop/node-files.js';
import {
  defaultFamily,
  hasBuffers,
  type ModelConfig,
  modelFamily,
  modelOf,
  neededTokens,
  presetOf,
} from '../models/index.js';
import { carryingProblem } from '../tasks/index.js';
import { rankProblem } from '../training/adapters.js';
import { type TrainingConfig, trainingOf, trainingSchema } from '../training/config.js';
import type { Snapshot } from '../training/index.js';
import { usageError } from './command.js';
import { type Flag, type FlagValues, keyOf } from './flags.js';
import { misfitOf, nestedOptions, type OptionValues, pickValues, valuesOf } from './option-values.js';
import {
  kernelChoices,
  modelNames,
  modelNamesOf,
  optionFlag,
  optionFlags,
  presetNames,
  runSchema,
} from './train-flags.js';

/** The options that were asked for, by their places, and by what each was asked for. */
export interface AskedOptions {
  /** From the config file and the flags; the last wins. */
  readonly own: OptionValues;
  /** What holds where nothing was asked for, and where it suits what was. */
  readonly preset: OptionValues;
  /** The family of models. */
  readonly family: string;
  /** Whether the preset was named, and so is asked for itself. */
  readonly isPresetNamed: boolean;
  /** How the person knows an option: `--dim`, or `my.json: dim`. */
  nameOf(key: string): string;
}

export interface RunOptions {
  readonly model: ModelConfig;
  readonly training: TrainingConfig;
}

/** What may change when a run goes on. */
const changeable = ['steps', 'evaluationInterval', 'checkpointInterval', 'keep'];

/** What may stand in a config file beside the options that have flags. */
const unflagged = [...modelNames, ...optionNames(trainingSchema)].filter(
  (name) => !optionFlags.some(({ path }) => path[0] === name),
);

/** Why an option is none of those that these values choose. */
function variantProblem(key: string, values: OptionValues): string | undefined {
  const flag = optionFlag(key);
  return flag && misfitOf(flag, values, optionFlags);
}

/** Why an option is none of those of a family of models. */
function familyProblem(key: string, family: string): string | undefined {
  const isOfTraining = optionNames(trainingSchema).includes(topOf(key));
  return isOfTraining || modelNamesOf(family).includes(topOf(key)) ? undefined : `a ${family} does not have it`;
}

/** The option at the top of a place. */
export function topOf(key: string): string {
  return key.split('.')[0] as string;
}

/** Reads the config file, where there is one, and puts everything together. Throws USAGE. */
export async function askedOptions(
  {
    preset: askedPreset,
    config: path,
    tokenizer: named,
  }: Pick<z.output<typeof runSchema>, 'preset' | 'config'> & Partial<Pick<z.output<typeof runSchema>, 'tokenizer'>>,
  flags: FlagValues,
  family = defaultFamily,
): Promise<AskedOptions> {
  const { preset: filePreset, ...file } = path === undefined ? {} : await readConfigFile(path);
  const preset = runSchema.shape.preset.safeParse(askedPreset ?? filePreset);
  if (!preset.success) throw usageError(`${path}: expected a preset, got ${JSON.stringify(filePreset)}.`);
  const { model, training } = presetOf(preset.data ?? presetNames[0], family);
  const given = pickValues(flags, (key) => optionFlag(key) !== undefined);
  const tokenizer = named ?? file.tokenizer;
  const own = { ...file, ...given, ...(tokenizer !== undefined && { tokenizer: await tokenizerName(tokenizer) }) };
  const values = valuesOf({ ...model, ...training }, optionFlags);
  return {
    family,
    own,
    preset: presetBeside(own, values),
    isPresetNamed: preset.data !== undefined,
    nameOf: (key) => (key in file && !(key in given) ? `${path}: ${key}` : `--${optionFlag(key)?.flag ?? key}`),
  };
}

/** A preset's options beside others: where these choose a kind of attention, without those of its own kind. */
export function presetBeside(own: OptionValues, preset: OptionValues): OptionValues {
  const [kind] = kernelChoices as readonly [Flag];
  if (!(kind.key in own)) return preset;
  const isOfKind = ({ path }: Flag) => path.length === kind.path.length && path[0] === kind.path[0];
  return pickValues(preset, (key) => !isOfKind(optionFlag(key) as Flag));
}

/** The name of a tokenizer: one that is registered, or that of a file, which is read. */
async function tokenizerName(given: unknown): Promise<unknown> {
  if (typeof given !== 'string' || knownTokenizer(given) !== undefined) return given;
  return (await isThere(given)) ? (await readTokenizer(given)).name : given;
}

async function readConfigFile(path: string): Promise<OptionValues> {
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
  const values = valuesOf(value, optionFlags);
  const unknown = Object.keys(values).filter(
    (key) => key !== 'preset' && optionFlag(key) === undefined && !unflagged.includes(key),
  );
  if (unknown.length > 0) {
    throw usageError(
      `--config ${path}: expected options of train, got ${unknown.join(', ')}. See performer train --help.`,
    );
  }
  return values;
}

/** The options of a new run, of `whose` where there are several. Throws USAGE with every problem. */
export function freshOptions({ own, preset, nameOf, family }: AskedOptions, whose = ''): RunOptions {
  const all = { ...preset, ...own };
  const problemOf = (key: string, values: OptionValues) => familyProblem(key, family) ?? variantProblem(key, values);
  const misfits = Object.keys(own).flatMap((key) => {
    const problem = problemOf(key, all);
    return problem === undefined ? [] : [`${nameOf(key)}${whose}: ${problem}`];
  });
  const { model, training, issues } = parseFitting(
    family,
    pickValues(own, (key) => problemOf(key, all) === undefined),
    pickValues(preset, (key) => problemOf(key, all) === undefined),
  );
  if (model === undefined || training === undefined) {
    const told = issues.map((issue) => describe(issue, all, (key) => `${nameOf(key)}${whose}`));
    throw usageError(`${[...new Set([...told, ...misfits])].join('; ')}. See --help.`);
  }
  const problems = problemsOf({ model, training }, own).map(([key, message]) => `${nameOf(key)}${whose}: ${message}`);
  if (training.loraRank !== undefined) {
    problems.push(`${nameOf('loraRank')}${whose}: expected a trained model to change, got none. Add --from to train`);
  }
  if (misfits.length + problems.length > 0) throw usageError(`${[...misfits, ...problems].join('; ')}. See --help.`);
  return { model, training: trainingOf(modelOf(model), training) };
}

interface Parsed {
  readonly model: ModelConfig | undefined;
  readonly training: TrainingConfig | undefined;
  readonly issues: readonly z.core.$ZodIssue[];
}

/** What the schemas make of the options, without those of the preset that only some variants have and this one cannot. */
function parseFitting(family: string, own: OptionValues, preset: OptionValues): Parsed {
  const parsed = parse(family, { ...preset, ...own });
  const refused = parsed.issues.map(({ path }) => keyOf(path));
  const unsuited = refused.filter((key) => key in preset && !(key in own) && optionFlag(key)?.variants.length);
  return unsuited.length === 0
    ? parsed
    : parse(family, { ...pickValues(preset, (key) => !unsuited.includes(key)), ...own });
}

function parse(family: string, values: OptionValues): Parsed {
  const isOfModel = (key: string) => modelNamesOf(family).includes(topOf(key));
  const model = modelFamily(family).schema.safeParse(nestedOptions(pickValues(values, isOfModel)));
  const training = trainingSchema.safeParse(nestedOptions(pickValues(values, (key) => !isOfModel(key))));
  const issues = [...(model.error?.issues ?? []), ...(training.error?.issues ?? [])];
  return { model: model.data, training: training.data, issues };
}

function describe({ path, message }: z.core.$ZodIssue, values: OptionValues, nameOf: (key: string) => string): string {
  const key = keyOf(path.filter((part) => typeof part !== 'number')); // one flag for all of a list
  const isMissing = !(key in values) && message.endsWith('received undefined');
  const [needed] = isMissing ? (optionFlag(key)?.variants ?? []).slice(-1) : [];
  if (needed === undefined) return `${nameOf(key)}: ${message}`;
  const noun = needed.path.at(-2) as string;
  return `${nameOf(key)}: ${values[keyOf(needed.path)]} ${noun} ${noun.endsWith('s') ? 'need' : 'needs'} it`;
}

/** What neither schema sees alone, and what was asked for and would change nothing. */
export function problemsOf(
  { model, training }: RunOptions,
  own: OptionValues,
): (readonly [key: string, problem: string])[] {
  const built = modelOf(model);
  const problems: (readonly [string, string])[] = [];
  const carrying = training.carryState ? carryingProblem(built) : undefined;
  if (carrying !== undefined) problems.push(['carryState', carrying]);
  const { maxLength = Number.POSITIVE_INFINITY, image } = built;
  if (image !== undefined) {
    if ('window' in own) problems.push(['window', 'images are read whole']);
  } else if (training.window > maxLength) {
    const got = `got ${training.window}`;
    problems.push(['window', `expected at most the ${maxLength} tokens that the model can read, ${got}`]);
  }
  const tokens = model.tokenizer === undefined ? undefined : neededTokens(model);
  const isPadded = isFromFile(model.tokenizer) && (model.vocabularySize ?? 0) > (tokens ?? 0);
  if (model.vocabularySize !== tokens && !isPadded) {
    const got = `got ${model.vocabularySize}`;
    problems.push(['vocabularySize', `expected ${tokens}, which the tokenizer ${model.tokenizer} needs, ${got}`]);
  }
  const ofRank = rankProblem(built.params, training.loraRank);
  if (ofRank !== undefined) problems.push(['loraRank', ofRank]);
  if ('redrawInterval' in own && !hasBuffers(built)) {
    problems.push(['redrawInterval', 'only random projections have it']);
  }
  if ('finalFraction' in own && ['constant', 'inverse-square-root'].includes(training.schedule)) {
    problems.push(['finalFraction', 'only schedules that fall have it, to an end']);
  }
  return problems;
}

function told(value: unknown): string {
  if (value === undefined) return 'its default';
  return typeof value === 'object' ? JSON.stringify(value) : `${value}`;
}

/** The snapshot to go on from, with what may change changed. Throws USAGE for options that would change the run. */
export function resumedSnapshot(snapshot: Snapshot, asked: AskedOptions, folder: string): Snapshot {
  const { own, preset, isPresetNamed, nameOf } = asked;
  const begun = valuesOf({ ...snapshot.model, ...snapshot.training }, optionFlags);
  const family = snapshot.model.model;
  const suits = (key: string, value: unknown) => parse(family, { ...begun, [key]: value }).issues.length === 0;
  // A list of layers has no value of its own for each option, so that the models are compared whole.
  const all = { ...begun, ...own };
  const fitting = pickValues(preset, (key) => variantProblem(key, all) === undefined);
  const { model } = parseFitting(family, all, fitting);
  const isSame = isDeepStrictEqual(model, snapshot.model);
  const isOfRun = (key: string) => key !== 'window' || modelOf(snapshot.model).image === undefined;
  const named = isPresetNamed ? pickValues(preset, (key, value) => isOfRun(key) && suits(key, value)) : {};
  for (const [key, value] of Object.entries({ ...own, ...named, ...own })) {
    if (changeable.includes(key) || value === begun[key]) continue;
    if (isSame && modelNamesOf(family).includes(topOf(key))) continue;
    const problem = variantProblem(key, begun);
    if (problem !== undefined) throw usageError(`${nameOf(key)}: ${problem}, in the run in ${folder}.`);
    throw usageError(
      `${nameOf(key)}: expected ${told(begun[key])}, with which the run in ${folder} began, got ${told(value)}. ` +
        'Leave it out, or begin a new run in another folder.',
    );
  }
  const changed = pickValues(own, (key) => changeable.includes(key));
  const training = trainingSchema.safeParse({ ...snapshot.training, ...changed });
  if (!training.success) {
    throw usageError(`${training.error.issues.map((issue) => describe(issue, begun, nameOf)).join('; ')}.`);
  }
  const { steps } = training.data;
  if (steps < snapshot.step) {
    throw usageError(`${nameOf('steps')}: expected at least ${snapshot.step}, which are done, got ${steps}.`);
  }
  return { ...snapshot, training: training.data };
}

/** The flags of `performer train`: every option of the model and of the training, and where the run lives. */
import * as z from 'zod';
import { option, optionNames } from '../base/options.js';
import { isShared } from '../mixers/index.js';
import { defaultFamily, type ModelConfig, modelFamily, type PresetName, presetOf, presets } from '../models/index.js';
import { languageModelSchema } from '../models/language-model.js';
import { taskFamily, taskNames } from '../tasks/index.js';
import { trainingSchema } from '../training/config.js';
import { engineSchema } from './engine-flags.js';
import { type Flag, flagsOf } from './flags.js';
import { labelledSchema } from './labelled-flags.js';
import { namesIn, valuesOf } from './option-values.js';

export const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];

const word = z.string().min(1);

export const runSchema = z.strictObject({
  out: option(word.optional(), 'the folder of the run and of its model', { value: 'folder' }),
  preset: option(z.enum(presetNames).optional(), `sizes with a name: ${presetNames.join(', ')} (see below)`, {
    fallback: presetNames[0],
  }),
  config: option(
    word.optional(),
    'a JSON file with one object of the options below, named and nested as in config.json',
    {
      value: 'file',
    },
  ),
  task: option(z.enum(taskNames() as [string, ...string[]]).optional(), 'what is learned (see below)', {
    fallback: 'language-modelling',
  }),
  tokenizer: option(
    word.optional(),
    'a tokenizer.json, as Hugging Face has it, or a folder with one (see below); or the name of a registered tokenizer',
    { value: 'file', fallback: 'bytes' },
  ),
  from: option(
    word.optional(),
    'a model to go on from, a folder of ours or of Hugging Face, whose options the new model has: for the task that it learned, or an encoder for one of texts or words with labels',
    { value: 'folder' },
  ),
  resume: option(z.literal(true).optional(), 'go on with the run in --out from its newest checkpoint'),
});

/** Of classes alone. */
export const weightSchema = z.strictObject({
  classWeights: option(
    z.enum(['equal', 'balanced']).default('equal'),
    'whether texts count equally, or classes do, however many texts they have',
  ),
});

export const trainSchema = z.strictObject({
  ...runSchema.shape,
  ...labelledSchema.shape,
  ...weightSchema.shape,
  ...engineSchema.shape,
});
export type TrainOptions = z.output<typeof trainSchema>;

/** The options of a language model, which other families have but for a few. */
export const modelFlags: readonly Flag[] = flagsOf('Model:', languageModelSchema);

/** The names of the options of a language model. */
export const modelNames: readonly string[] = optionNames(languageModelSchema);

/** The same of any family of models. */
export function modelNamesOf(family: string): readonly string[] {
  return optionNames(modelFamily(family).schema);
}

/** Those that a config file may hold. */
export const optionFlags: readonly Flag[] = [...modelFlags, ...flagsOf('Training:', trainingSchema)];

/** Those that language models do not have. */
export const otherModelFlags: readonly Flag[] = merged(
  taskNames()
    .flatMap((name) => flagsOf('Model:', modelFamily(taskFamily(name).model).schema))
    .filter(({ key }) => optionFlags.every((flag) => flag.key !== key)),
);

/** Each flag once; one that several families have takes the choices of all. */
function merged(flags: readonly Flag[]): readonly Flag[] {
  const all = new Map<string, Flag>();
  for (const flag of flags) {
    const choices = new Set([...(all.get(flag.key)?.choices ?? []), ...flag.choices]);
    all.set(flag.key, { ...flag, choices: [...choices] });
  }
  return [...all.values()];
}

export function optionFlag(key: string): Flag | undefined {
  return [...optionFlags, ...otherModelFlags].find((flag) => flag.key === key);
}

/** The options that choose the kernel of attention: its kind, where that can stand alone, and what that kind chooses. */
export const kernelChoices: readonly Flag[] = optionFlags
  .filter(({ path: [top], isVariant }) => isVariant && top === 'attention')
  .map((flag) => ({ ...flag, choices: flag.choices.filter((kind) => !isShared({ kind })) }));

/** The kernel of a model in words: `relu features`, or `softmax attention`. */
export function kernelText(config: ModelConfig): string {
  const values = valuesOf(config, optionFlags);
  const { key, path } = kernelChoices.filter((choice) => choice.key in values).at(-1) as Flag;
  return `${namesIn(values[key], path.at(-1) as string).join(', ')} ${path.at(-2)}`;
}

function presetValues(name: PresetName) {
  const { model, training } = presetOf(name, defaultFamily);
  return valuesOf({ ...model, ...training }, optionFlags);
}

/** The options as the help shows them: what each preset has is no default of the option's own. */
export const shownFlags: readonly Flag[] = optionFlags.map((flag) => {
  const isKnown = flag.fallback?.includes('from the preset') ?? true;
  return isKnown || !presetNames.every((name) => flag.key in presetValues(name))
    ? flag
    : { ...flag, fallback: 'from the preset' };
});

/** What --help says of the presets. */
export function presetTable(): string {
  const rows = presetNames.map((name) => {
    const words = Object.entries(presetValues(name)).map(([key, value]) => `--${optionFlag(key)?.flag} ${value}`);
    return `  ${name.padEnd(6)} ${words.join(' ')}`;
  });
  const others =
    'Other models have the same sizes and training, no token shift, and smaller embeddings at first. What guesses masked tokens\n' +
    'has --attention hybrid --attention-window 64, all others --attention favor+.';
  return `${rows.join('\n')}\n${others}`;
}

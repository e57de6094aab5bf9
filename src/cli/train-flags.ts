/** The flags of `performer train`: every option of the model and of the training, and where the run lives. */
import * as z from 'zod';
import { option, optionNames } from '../base/options.js';
import { type ModelConfig, type PresetName, presets } from '../models/index.js';
import { languageModelSchema } from '../models/language-model.js';
import { trainingSchema } from '../training/config.js';
import { engineSchema } from './engine-flags.js';
import { type Flag, flagsOf } from './flags.js';
import { valuesOf } from './option-values.js';

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
  resume: option(z.literal(true).optional(), 'go on with the run in --out from its newest checkpoint'),
});

export const trainSchema = runSchema.extend(engineSchema.shape);
export type TrainOptions = z.output<typeof trainSchema>;

export const modelSchema = languageModelSchema;
export const modelNames: readonly string[] = optionNames(modelSchema);

export const modelFlags: readonly Flag[] = flagsOf('Model:', modelSchema);

/** Those that a config file may hold. */
export const optionFlags: readonly Flag[] = [...modelFlags, ...flagsOf('Training:', trainingSchema)];

export function optionFlag(key: string): Flag | undefined {
  return optionFlags.find((flag) => flag.key === key);
}

/** The options that choose the kernel of attention: its kind, and what that kind chooses. */
export const kernelChoices: readonly Flag[] = optionFlags.filter(
  ({ path: [top], isVariant }) => isVariant && top === 'attention',
);

/** The kernel of a model in words: `relu features`, or `softmax attention`. */
export function kernelText(config: ModelConfig): string {
  const values = valuesOf(config, optionFlags);
  const { key, path } = kernelChoices.filter((choice) => choice.key in values).at(-1) as Flag;
  return `${values[key]} ${path.at(-2)}`;
}

/** What --help says of the presets. */
export function presetTable(): string {
  return presetNames
    .map((name) => {
      const values = valuesOf({ ...presets[name].model, ...presets[name].training }, optionFlags);
      const words = Object.entries(values).map(([key, value]) => `--${optionFlag(key)?.flag} ${value}`);
      return `  ${name.padEnd(6)} ${words.join(' ')}`;
    })
    .join('\n');
}

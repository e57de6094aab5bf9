/** The flags of `performer train`: every option of the model and of the training, and where the run lives. */
import * as z from 'zod';
import { option, optionNames } from '../base/options.js';
import { type PresetName, presets } from '../models/index.js';
import { languageModelSchema } from '../models/language-model.js';
import { trainingSchema } from '../training/config.js';
import { engineSchema } from './engine-flags.js';
import { type Flag, flagsOf } from './flags.js';
import { valuesOf } from './option-values.js';

export const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];

const path = z.string().min(1);

export const runSchema = z.strictObject({
  out: option(path.optional(), 'the folder of the run and of its model', { value: 'folder' }),
  preset: option(
    z.enum(presetNames).optional(),
    `sizes with a name: ${presetNames.join(', ')} (see below)`,
    { fallback: presetNames[0] },
  ),
  config: option(path.optional(), 'a JSON file with one object of the options below, named and nested as in config.json', {
    value: 'file',
  }),
  resume: option(z.literal(true).optional(), 'go on with the run in --out from its newest checkpoint'),
});

export const trainSchema = runSchema.extend(engineSchema.shape);
export type TrainOptions = z.output<typeof trainSchema>;

export const modelSchema = languageModelSchema;
export const modelNames: readonly string[] = optionNames(modelSchema);

/** Those that a config file may hold. */
export const optionFlags: readonly Flag[] = [...flagsOf('Model:', modelSchema), ...flagsOf('Training:', trainingSchema)];

/** What --help says of the presets. */
export function presetTable(): string {
  return presetNames
    .map((name) => {
      const values = valuesOf({ ...presets[name].model, ...presets[name].training }, optionFlags);
      const words = Object.entries(values).map(
        ([key, value]) => `--${optionFlags.find((flag) => flag.key === key)?.flag} ${value}`,
      );
      return `  ${name.padEnd(6)} ${words.join(' ')}`;
    })
    .join('\n');
}

/** `performer kernel …`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { encodings, mostColumns } from '../data/index.js';
import { fitSchema, mapsOfKernel } from '../machines/config.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { isStandardOutput } from './output-file.js';

const word = z.string().min(1);
const delimiterText = 'the character between fields; tab for a tab';
const encodingText = 'of the text, unless a byte order mark names another';

const tableSchema = z.strictObject({
  out: option(word.optional(), 'the folder of the machine', { value: 'folder' }),
  target: option(
    z.array(word).min(1).optional(),
    'the column to predict; in regression it may be given more than once',
    {
      value: 'column',
    },
  ),
  ignore: option(z.array(word).optional(), 'a column to leave out; may be given more than once', { value: 'column' }),
  header: option(z.boolean().default(true), 'the first row names the columns; without, they are called 1, 2, …'),
  delimiter: option(word.default(','), delimiterText, { value: 'character' }),
  encoding: option(z.enum(encodings).optional(), `${encodingText}; latin1 is windows-1252`, { fallback: 'utf-8' }),
});

/** How another file than that of the fit is written. */
const formatSchema = z.strictObject({
  delimiter: option(word.optional(), delimiterText, { value: 'character', fallback: 'that of the fit' }),
  encoding: option(z.enum(encodings).optional(), encodingText, { fallback: 'that of the fit' }),
});

const fitFlagsSchema = z.strictObject({ ...tableSchema.shape, ...fitSchema.shape, ...engineSchema.shape });
export type FitFlags = z.output<typeof fitFlagsSchema>;

const kernelTable = Object.entries(mapsOfKernel)
  .map(([kernel, maps]) => `  ${kernel.padEnd(12)} ${maps.join(', ')}`)
  .join('\n');

export const fitCommand: CommandWords<typeof fitFlagsSchema> = {
  arguments: [{ name: '<file>', text: 'the CSV file; every column but the target must hold numbers' }],
  options: fitFlagsSchema,
  flags: [...flagsOf('Data:', tableSchema), ...flagsOf('Machine:', fitSchema), ...engineFlags],
  notes: `Kernels and the maps that estimate them:
${kernelTable}
Kernels of dot products see x·y/√columns.

The file is read three times and never held in memory, whatever its size. It has at most ${mostColumns} columns.
A column whose header is empty is called unnamed-1 by its position, and is left out unless it is the target: it mostly
holds the numbers of the rows. Name it in the file to learn from it.

Examples:
  performer kernel fit houses.csv --target price --out runs/houses
  performer kernel fit mail.csv --target spam --task classification --feature-count 4096 --out runs/mail
  performer kernel fit digits.csv --no-header --target 65 --task classification --out runs/digits`,
  isReport: () => true,
};

const predictSchema = z.strictObject({
  out: option(word.optional(), 'the CSV file to write, whole or not at all', {
    value: 'file',
    fallback: 'standard output',
  }),
});
const predictFlagsSchema = z.strictObject({ ...predictSchema.shape, ...formatSchema.shape, ...engineSchema.shape });
export type PredictFlags = z.output<typeof predictFlagsSchema>;

export const predictCommand: CommandWords<typeof predictFlagsSchema> = {
  arguments: [
    { name: '<folder>', text: 'the folder of a machine' },
    { name: '<file>', text: 'the CSV file, with the columns of the fit by their names; others are passed over' },
  ],
  options: predictFlagsSchema,
  flags: [...flagsOf('Prediction:', predictSchema), ...flagsOf('Data:', formatSchema), ...engineFlags],
  notes: `One row for each row of the file, in its order: the predicted values, or the predicted class, in utf-8.

Example:
  performer kernel predict runs/houses new.csv --out prices.csv`,
  isReport: ({ out }) => out !== undefined && !isStandardOutput(out),
};

const evaluateSchema = z.strictObject({ json: option(z.literal(true).optional(), 'print one JSON object') });
const evaluateFlagsSchema = z.strictObject({ ...evaluateSchema.shape, ...formatSchema.shape, ...engineSchema.shape });
export type EvaluateMachineFlags = z.output<typeof evaluateFlagsSchema>;

export const evaluateMachineCommand: CommandWords<typeof evaluateFlagsSchema> = {
  arguments: [
    { name: '<folder>', text: 'the folder of a machine' },
    { name: '<file>', text: 'the CSV file, with the columns of the fit' },
  ],
  options: evaluateFlagsSchema,
  flags: [...flagsOf('Evaluation:', evaluateSchema), ...flagsOf('Data:', formatSchema), ...engineFlags],
  notes: `Example:
  performer kernel evaluate runs/digits test.csv`,
};

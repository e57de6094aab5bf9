/** `performer kernel …`: what it is called with. */
import * as z from 'zod';
import { encodings, mostColumns } from '../data/index.js';
import { fitSchema, mapsOfKernel } from '../machines/config.js';
import type { Command, CommandGroup } from './command.js';
import { engineFlags } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { isStandardOutput } from './output-file.js';

const fitTableSchema = z.strictObject({
  out: z.string().min(1).optional(),
  target: z.array(z.string().min(1)).min(1).optional(),
  ignore: z.array(z.string().min(1)).optional(),
  header: z.boolean().default(true),
  delimiter: z.string().min(1).default(','),
  encoding: z.enum(encodings).default('utf-8'),
});

const tableFlags = flagsOf('Data:', fitTableSchema.shape, {
  out: { text: 'the folder of the machine', value: 'folder' },
  target: { text: 'the column to predict; in regression it may be given more than once', value: 'column' },
  ignore: { text: 'a column to leave out; may be given more than once', value: 'column' },
  header: { text: 'the first row names the columns; without, they are called 1, 2, …' },
  delimiter: { text: 'the character between fields; tab for a tab', value: 'character' },
  encoding: { text: 'of the text, unless a byte order mark names another; latin1 is windows-1252' },
});

/** How another file than that of the fit is written. */
const formatSchema = z.strictObject({
  delimiter: z.string().min(1).optional(),
  encoding: z.enum(encodings).optional(),
});

const formatFlags = flagsOf('Data:', formatSchema.shape, {
  delimiter: {
    text: 'the character between fields; tab for a tab',
    value: 'character',
    fallback: 'that of the fit',
  },
  encoding: { text: 'of the text, unless a byte order mark names another', fallback: 'that of the fit' },
});

const machineFlags = flagsOf('Machine:', fitSchema.shape, {
  task: { text: 'predict numbers, or one of several classes' },
  kernel: { text: 'the kernel (see below)', fallback: 'gaussian, or that of --map' },
  map: { text: 'the feature map that estimates it', fallback: "the kernel's first" },
  featureCount: { text: 'random features', fallback: '1024, or what the map has' },
  projectionKind: { text: 'how the rows of the random projection are arranged' },
  rowNorm: { text: 'their norms: as of normal vectors, or √columns' },
  gamma: { text: 'γ of the gaussian kernel exp(−γ|x − y|²)', fallback: '1/median |x − y|² of a sample' },
  degree: { text: 'of the polynomial kernel', fallback: '2' },
  offset: { text: 'of the polynomial kernel', fallback: '1' },
  lambda: { text: 'λ|W|² is added to the mean squared error', fallback: 'the best of several on held-out rows' },
  heldOut: { text: 'the part of the rows that chooses λ and measures; the machine then sees them too' },
  standardize: { text: 'subtract the mean of each column and divide by its standard deviation' },
  seed: { text: 'of everything random: equal seeds give equal machines' },
  batch: { text: 'rows that the engine takes at once; changes speed and memory alone' },
});

const kernelTable = Object.entries(mapsOfKernel)
  .map(([kernel, maps]) => `  ${kernel.padEnd(12)} ${maps.join(', ')}`)
  .join('\n');

const fitCommand: Command = {
  name: 'fit',
  text: 'fit a kernel machine to the rows of a CSV file of any size',
  arguments: [{ name: '<file>', text: 'the CSV file; every column but the target must hold numbers' }],
  flags: [...tableFlags, ...machineFlags, ...engineFlags],
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
  async run({ arguments: [path], flags }, io) {
    const { runFit } = await import('./kernel-fit.js');
    await runFit(path as string, flags, io);
  },
};

const predictSchema = z.strictObject({ out: z.string().min(1).optional() });

const predictCommand: Command = {
  name: 'predict',
  text: 'predict the rows of a CSV file',
  arguments: [
    { name: '<folder>', text: 'the folder of a machine' },
    { name: '<file>', text: 'the CSV file, with the columns of the fit by their names; others are passed over' },
  ],
  flags: [
    ...flagsOf('Prediction:', predictSchema.shape, {
      out: { text: 'the CSV file to write, whole or not at all', value: 'file', fallback: 'standard output' },
    }),
    ...formatFlags,
    ...engineFlags,
  ],
  notes: `One row for each row of the file, in its order: the predicted values, or the predicted class, in utf-8.

Example:
  performer kernel predict runs/houses new.csv --out prices.csv`,
  isReport: ({ out }) => out !== undefined && !isStandardOutput(out as string),
  async run({ arguments: [folder, path], flags }, io) {
    const { runPredict } = await import('./kernel-predict.js');
    await runPredict(folder as string, path as string, flags, io);
  },
};

const evaluateSchema = z.strictObject({ json: z.literal(true).optional() });

const evaluateCommand: Command = {
  name: 'evaluate',
  text: 'measure how well a machine predicts a CSV file whose targets are known',
  arguments: [
    { name: '<folder>', text: 'the folder of a machine' },
    { name: '<file>', text: 'the CSV file, with the columns of the fit' },
  ],
  flags: [
    ...flagsOf('Evaluation:', evaluateSchema.shape, { json: { text: 'print one JSON object' } }),
    ...formatFlags,
    ...engineFlags,
  ],
  notes: `Example:
  performer kernel evaluate runs/digits test.csv`,
  async run({ arguments: [folder, path], flags }, io) {
    const { runEvaluateMachine } = await import('./kernel-predict.js');
    await runEvaluateMachine(folder as string, path as string, flags, io);
  },
};

export const kernelCommands: CommandGroup = {
  name: 'kernel',
  text: 'kernel machines on tables: random features and ridge regression',
  commands: [fitCommand, predictCommand, evaluateCommand],
};

/** `performer features`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { projectionKinds } from '../features/projection.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 20);
const names = z.string().min(1);

const ownSchema = z.strictObject({
  tolerance: option(z.number().positive().default(0.1), 'the relative error of attention that is tolerated'),
  maps: option(names.optional(), 'the maps to compare, with commas', {
    fallback: 'all that can be predicted',
    value: 'names',
  }),
  projectionKinds: option(
    names.default('orthogonal'),
    `kinds of projections, with commas: ${projectionKinds.join(', ')}`,
    { value: 'names' },
  ),
  rowNorm: option(
    z.enum(['chi', 'root']).default('chi'),
    'lengths of the rows of projections: chi unbiased, root regularised',
  ),
  featureCounts: option(names.default('32,64,128,256,512'), 'numbers of features, with commas', { value: 'list' }),
  measure: option(z.literal(true).optional(), 'measure every map at every number, and not only where it decides'),
  draws: option(z.int().min(1).max(1000).default(4), 'projections drawn for a measurement'),
  seed: option(z.int().min(0).default(0), 'of the draws'),
  json: option(z.literal(true).optional(), 'print one JSON object'),
});
const modelSchema = z.strictObject({
  window: option(count.default(256), 'tokens of a window'),
  windows: option(count.default(2), 'windows, evenly spaced over the text'),
});
const drawnSchema = z.strictObject({
  dim: option(count.optional(), 'of a head', { fallback: 'none: a model is read' }),
  std: option(z.number().positive().max(100).default(1), 'standard deviation of queries and keys'),
  length: option(count.default(256), 'queries and keys'),
  causal: option(z.boolean().default(false), 'queries see keys up to their own position'),
});

const featuresSchema = z.strictObject({
  ...ownSchema.shape,
  ...modelSchema.shape,
  ...drawnSchema.shape,
  ...engineSchema.shape,
});
export type FeaturesOptions = z.output<typeof featuresSchema>;

const flags = [
  ...flagsOf('Features:', ownSchema),
  ...flagsOf('Samples of a model:', modelSchema),
  ...flagsOf('Samples without a model, normal deviates:', drawnSchema),
  ...engineFlags,
];

const notes = `Takes the queries, keys and values of each layer of a model that reads the files (or normal deviates, with --dim),
predicts the error that attention through each feature map would have against exact softmax attention, measures it where
that decides, and recommends the map that needs the fewest features. Errors are relative: √(Σ|difference|²/Σ|exact|²).

Examples:
  performer features runs/book book.txt --tolerance 0.2
  performer features runs/book book.txt --maps positive,sderf --feature-counts 64,128,256 --measure
  performer features --dim 64 --std 0.5 --length 1024 --json`;

export const featuresCommand: CommandWords<typeof featuresSchema> = {
  arguments: [
    { name: '[folder]', text: 'the folder of a model' },
    { name: '[files...]', text: 'the text that it reads; - for standard input' },
  ],
  options: featuresSchema,
  flags,
  notes,
};

/** `performer features`: what it is called with. */
import * as z from 'zod';
import { projectionKinds } from '../features/projection.js';
import type { Command } from './command.js';
import { engineFlags } from './engine-flags.js';
import { flagsOf } from './flags.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 20);

const featuresSchema = z.strictObject({
  tolerance: z.number().positive().default(0.1),
  maps: z.string().min(1).optional(),
  projectionKinds: z.string().min(1).default('orthogonal'),
  rowNorm: z.enum(['chi', 'root']).default('chi'),
  featureCounts: z.string().min(1).default('32,64,128,256,512'),
  measure: z.literal(true).optional(),
  draws: z.int().min(1).max(1000).default(4),
  seed: z.int().min(0).default(0),
  json: z.literal(true).optional(),
});
const modelSchema = z.strictObject({ window: count.default(256), windows: count.default(2) });
const drawnSchema = z.strictObject({
  dim: count.optional(),
  std: z.number().positive().max(100).default(1),
  length: count.default(256),
  causal: z.boolean().default(false),
});

/** What the flags mean where they are not given. */
export const featuresDefaults = {
  ...featuresSchema.shape,
  ...modelSchema.shape,
  ...drawnSchema.shape,
};

const flags = [
  ...flagsOf('Features:', featuresSchema.shape, {
    tolerance: { text: 'the relative error of attention that is tolerated' },
    maps: { text: 'the maps to compare, with commas', fallback: 'all that can be predicted', value: 'names' },
    projectionKinds: { text: `kinds of projections, with commas: ${projectionKinds.join(', ')}`, value: 'names' },
    rowNorm: { text: 'lengths of the rows of projections: chi unbiased, root regularised' },
    featureCounts: { text: 'numbers of features, with commas', value: 'list' },
    measure: { text: 'measure every map at every number, and not only where it decides' },
    draws: { text: 'projections drawn for a measurement' },
    seed: { text: 'of the draws' },
    json: { text: 'print one JSON object' },
  }),
  ...flagsOf('Samples of a model:', modelSchema.shape, {
    window: { text: 'bytes of a window' },
    windows: { text: 'windows, evenly spaced over the text' },
  }),
  ...flagsOf('Samples without a model, normal deviates:', drawnSchema.shape, {
    dim: { text: 'of a head', fallback: 'none: a model is read' },
    std: { text: 'standard deviation of queries and keys' },
    length: { text: 'queries and keys' },
    causal: { text: 'queries see keys up to their own position' },
  }),
];

const notes = `Takes the queries, keys and values of each layer of a model that reads the files (or normal deviates, with --dim),
predicts the error that attention through each feature map would have against exact softmax attention, measures it where
that decides, and recommends the map that needs the fewest features. Errors are relative: √(Σ|difference|²/Σ|exact|²).

Examples:
  performer features runs/book book.txt --tolerance 0.2
  performer features runs/book book.txt --maps positive,sderf --feature-counts 64,128,256 --measure
  performer features --dim 64 --std 0.5 --length 1024 --json`;

export const featuresCommand: Command = {
  name: 'features',
  text: 'tell the error of feature maps, and recommend one',
  arguments: [
    { name: '[folder]', text: 'the folder of a model' },
    { name: '[files...]', text: 'the text that it reads; - for standard input' },
  ],
  flags: [...flags, ...engineFlags],
  notes,
  async run({ arguments: [folder, files], flags: given }, io) {
    const { runFeatures } = await import('./features-run.js');
    await runFeatures(folder as string | undefined, files as readonly string[], given, io);
  },
};

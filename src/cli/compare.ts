/** `performer compare`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { kernelChoices, optionFlags, presetTable, runSchema } from './train-flags.js';

const ownSchema = z.strictObject({
  out: option(z.string().min(1).optional(), 'the folder of the comparison', { value: 'folder' }),
  kernels: option(
    z.string().min(1).default('softmax,positive,hyperbolic,oprf,relu,elu,exponential,hedgehog'),
    'the kernels, with commas between them',
    { value: 'names' },
  ),
  seeds: option(z.int().min(1).max(1000).default(3), 'runs of each kernel: from --seed on'),
  minutes: option(
    z.number().positive().max(1e6).optional(),
    'time for each run, instead of --steps: the steps are those that fit',
    { fallback: 'none' },
  ),
  preset: runSchema.shape.preset,
  config: runSchema.shape.config,
  resume: option(z.literal(true).optional(), 'go on with the comparison in --out'),
});

const compareSchema = ownSchema.extend(engineSchema.shape);
export type CompareOptions = z.output<typeof compareSchema>;

const notes = `The models are equal but for the kernel of their attention: the same first weights, batches and schedule for each
seed. A kernel is a kind of attention or the name of a feature map, with options of the model behind colons:

  --kernels softmax,positive,positive:row-norm=root,relu,relu:projection-kind=none,polynomial:polynomial-degree=4

Flags override the config file, which overrides the preset:
${presetTable()}

The folder gets ranking.md (mean held-out loss over the seeds at the end of each run, its spread, and the speed),
results.json, curves.csv (the learning curves) and a run under runs/ for each kernel and seed, as train writes it.
They are written anew after each run. A run whose loss is no longer finite counts as diverged, and the others go on.
Ctrl-C ends after the step under way, saves, and says how to go on.

Examples:
  performer compare book.txt --out runs/kernels --kernels softmax,positive,relu --seeds 3 --steps 400
  performer compare --out runs/kernels --resume`;

export const compareCommand: CommandWords<typeof compareSchema> = {
  arguments: [{ name: '[files...]', text: 'the text, read one file after another; needed unless --resume is given' }],
  options: compareSchema,
  flags: [
    ...flagsOf('Comparison:', ownSchema),
    ...optionFlags.filter(({ key }) => !kernelChoices.some((choice) => choice.key === key)),
    ...engineFlags,
  ],
  notes,
  isReport: () => true,
};

/** `performer compare`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { presetTable, runSchema, shownFlags } from './train-flags.js';
import { windowsSchema } from './windows.js';

const ownSchema = z.strictObject({
  out: option(z.string().min(1).optional(), 'the folder of the comparison', { value: 'folder' }),
  kernels: option(
    z.string().min(1).default('softmax,positive,hyperbolic,oprf,relu,elu,exponential,hedgehog'),
    'the kernels, with commas between them',
    { value: 'names' },
  ),
  variant: option(
    z.array(z.string().min(1)).optional(),
    'in the place of kernels: a name, a colon, and flags of train; may be repeated',
    { value: 'text' },
  ),
  seeds: option(z.int().min(1).max(1000).default(3), 'runs of each variant: from --seed on'),
  lengths: option(
    windowsSchema.optional(),
    'windows in which each trained model reads the held-out text, with commas',
    {
      value: 'n',
      fallback: '1, 4 and 16 times the least window of training',
    },
  ),
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

const notes = `Every variant is trained with every seed: the same first weights, batches and schedule, but for what it names. A
variant has any options of models and trainings, as flags of train, a --preset or a --config file of its own:

  --variant "plain: --attention favor+" --variant "hybrid: --attention hybrid --forgetting gates --learning-rate 2e-3"

Without variants kernels are compared. A kernel is a kind of attention or the name of a feature map, with options of the model
behind colons:

  --kernels softmax,positive,positive:row-norm=root,relu,relu:projection-kind=none,polynomial:polynomial-degree=4

At its end a model reads the held-out text in windows of several lengths and, where it can, as one stream.
Flags override the config file, which overrides the preset:
${presetTable()}

The folder gets ranking.md (mean held-out loss over the seeds in windows of the training, its spread, the loss in longer windows
and as one text, the time of a step and of the steps in all, and the size of the state after the longest window), results.json,
curves.csv (the learning curves), positions.csv (the loss by position) and a run under runs/ for each variant and seed, as train
writes it. They are written anew after each run. A run whose loss is no longer finite counts as diverged, and the others go on.
Ctrl-C ends after the step under way, saves, and says how to go on.

Examples:
  performer compare book.txt --out runs/kernels --kernels softmax,positive,relu --seeds 3 --steps 400
  performer compare book.txt --out runs/windows --minutes 2 --variant "64: --attention hybrid --attention-window 64" \\
    --variant "128: --attention hybrid --attention-window 128"
  performer compare --out runs/kernels --resume`;

export const compareCommand: CommandWords<typeof compareSchema> = {
  arguments: [{ name: '[files...]', text: 'the text, read one file after another; needed unless --resume is given' }],
  options: compareSchema,
  flags: [...flagsOf('Comparison:', ownSchema), ...shownFlags, ...engineFlags],
  notes,
  isReport: () => true,
};

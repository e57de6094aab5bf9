/** `performer compare`: what it is called with. */
import * as z from 'zod';
import type { Command } from './command.js';
import { variedOptions } from './compare-kernels.js';
import { engineFlags } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { expectStored } from './standard-input.js';
import { optionFlags, presetTable, runSchema } from './train-flags.js';

const { out, preset, config, resume } = runSchema.shape;

export const compareSchema = z.strictObject({
  out,
  kernels: z.string().min(1).default('softmax,positive,hyperbolic,oprf,relu,elu,exponential,hedgehog'),
  seeds: z.int().min(1).max(1000).default(3),
  minutes: z.number().positive().max(1e6).optional(),
  preset,
  config,
  resume,
});

const compareFlags = flagsOf('Comparison:', compareSchema.shape, {
  out: { text: 'the folder of the comparison', value: 'folder' },
  kernels: { text: 'the kernels, with commas between them', value: 'names' },
  seeds: { text: 'runs of each kernel: from --seed on' },
  minutes: { text: 'time for each run, instead of --steps: the steps are those that fit', fallback: 'none' },
  preset: { text: 'sizes with a name (see below)' },
  config: { text: 'a JSON file with one object of the options below', value: 'file' },
  resume: { text: 'go on with the comparison in --out' },
});

const notes = `The models are equal but for the kernel of their attention: the same first weights, batches and schedule for each
seed. A kernel is softmax (exact), none (no attention: the values pass through) or the name of a feature map, with options of
its own behind colons:

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

export const compareCommand: Command = {
  name: 'compare',
  text: 'train equal models that differ in the kernel of attention alone, and rank the kernels',
  arguments: [{ name: '[files...]', text: 'the text, read one file after another; needed unless --resume is given' }],
  flags: [...compareFlags, ...optionFlags.filter(({ key }) => !variedOptions.includes(key)), ...engineFlags],
  notes,
  isReport: () => true,
  async run({ arguments: [files = []], flags }, io) {
    expectStored('compare', files as readonly string[]);
    const { runCompare } = await import('./compare-run.js');
    await runCompare(files as readonly string[], flags, io);
  },
};

/** `performer bench`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { presetNames } from './train-flags.js';

const ownSchema = z.strictObject({
  preset: option(z.enum(presetNames).optional(), 'sizes with a name, and random weights', {
    fallback: `${presetNames[0]}, where there is no folder`,
  }),
  length: option(
    z
      .int()
      .min(1)
      .max(2 ** 24)
      .optional(),
    'tokens of a window in training, and of the prompt',
    { fallback: 'that of the training, or 1024' },
  ),
  batch: option(
    z
      .int()
      .min(1)
      .max(2 ** 16)
      .default(1),
    'windows side by side in training',
  ),
  rounds: option(z.int().min(1).max(1000).default(9), 'how often each is timed, after a warm-up'),
  profile: option(z.literal(true).optional(), 'add where the time goes: by op, by model path, in loops and branches'),
  json: option(z.literal(true).optional(), 'print one JSON object'),
  out: option(z.string().min(1).optional(), 'also write the figures to this file, as one JSON object', {
    value: 'file',
  }),
});

const benchSchema = ownSchema.extend(engineSchema.shape);
export type BenchOptions = z.output<typeof benchSchema>;

const notes = `Times, in turns within one run, a training step, reading a prompt, and decoding one sequence after it, beside
large matrix products, which are the machine's limit. Figures are medians. Operations are counted by formula, not by
what happens to run. Decoding is told as the bytes of weights and state that it moves.

A profile is taken after the figures, in sessions of its own, since it slows them. Ctrl-C ends after the run under way, with
the figures of the rounds so far; a second one ends at once.

Examples:
  performer bench
  performer bench runs/book --length 4096 --profile
  performer bench --preset small --batch 4 --out small.json`;

export const benchCommand: CommandWords<typeof benchSchema> = {
  arguments: [{ name: '[folder]', text: 'the folder of a model; --preset without one' }],
  options: benchSchema,
  flags: [...flagsOf('Benchmark:', ownSchema), ...engineFlags],
  notes,
};

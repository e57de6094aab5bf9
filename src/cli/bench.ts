/** `performer bench`: what it is called with. */
import * as z from 'zod';
import type { Command } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { presetNames } from './train-flags.js';

const ownSchema = z.strictObject({
  preset: z.enum(presetNames).optional(),
  length: z
    .int()
    .min(1)
    .max(2 ** 24)
    .optional(),
  batch: z
    .int()
    .min(1)
    .max(2 ** 16)
    .default(1),
  rounds: z.int().min(1).max(1000).default(9),
  profile: z.literal(true).optional(),
  json: z.literal(true).optional(),
  out: z.string().min(1).optional(),
});

export const benchSchema = ownSchema.extend(engineSchema.shape);

const flags = flagsOf('Benchmark:', ownSchema.shape, {
  preset: { text: 'sizes with a name, and random weights', fallback: 'tiny, where there is no folder' },
  length: { text: 'tokens of a window in training, and of the prompt', fallback: 'that of the training, or 1024' },
  batch: { text: 'windows side by side in training' },
  rounds: { text: 'how often each is timed, after a warm-up' },
  profile: { text: 'add where the time goes: by op, by model path, in loops and branches' },
  json: { text: 'print one JSON object' },
  out: { text: 'also write the figures to this file, as one JSON object', value: 'file' },
});

const notes = `Times, in turns within one run, a training step, reading a prompt, and decoding one sequence after it, beside
large matrix products, which are the machine's limit. Figures are medians. Operations are counted by formula, not by
what happens to run. Decoding is told as the bytes of weights and state that it moves.

A profile is taken after the figures, in sessions of its own, since it slows them. Ctrl-C ends after the run under way, with
the figures of the rounds so far; a second one ends at once.

Examples:
  performer bench
  performer bench runs/book --length 4096 --profile
  performer bench --preset small --batch 4 --out small.json`;

export const benchCommand: Command = {
  name: 'bench',
  text: 'measure how fast a model is on this machine',
  arguments: [{ name: '[folder]', text: 'the folder of a model; --preset without one' }],
  flags: [...flags, ...engineFlags],
  notes,
  async run({ arguments: [folder], flags: given }, io) {
    const { runBench } = await import('./bench-run.js');
    await runBench(folder as string | undefined, given, io);
  },
};

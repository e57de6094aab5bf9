/** `performer evaluate`: what it is called with. */
import * as z from 'zod';
import type { Command } from './command.js';
import { engineFlags } from './engine-flags.js';
import { flagsOf } from './flags.js';

const evaluateSchema = z.strictObject({
  window: z
    .int()
    .min(1)
    .max(2 ** 24)
    .optional(),
  json: z.literal(true).optional(),
});

const flags = flagsOf('Evaluation:', evaluateSchema.shape, {
  window: { text: 'bytes of a window', fallback: 'that of the training, or 1024' },
  json: { text: 'print one JSON object' },
});

const notes = `Every byte of the files but the first is predicted once: each window on its own, and, where attention and
positions allow it, each after the memory of all that came before (streaming). The loss is in nats a byte.

Examples:
  performer evaluate runs/book other.txt
  performer evaluate runs/book *.txt --window 4096 --json
  zcat other.txt.gz | performer evaluate runs/book -`;

export const evaluateCommand: Command = {
  name: 'evaluate',
  text: 'measure how well a model predicts files',
  arguments: [
    { name: '<folder>', text: 'the folder of a model' },
    { name: '<files...>', text: 'the text, read one file after another; - for standard input' },
  ],
  flags: [...flags, ...engineFlags],
  notes,
  async run({ arguments: [folder, files], flags: given }, io) {
    const { runEvaluate } = await import('./evaluate-run.js');
    await runEvaluate(folder as string, files as readonly string[], given, io);
  },
};

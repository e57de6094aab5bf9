/** `performer evaluate`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';

const ownSchema = z.strictObject({
  window: option(
    z
      .int()
      .min(1)
      .max(2 ** 24)
      .optional(),
    'bytes of a window',
    { fallback: 'that of the training, or 1024' },
  ),
  json: option(z.literal(true).optional(), 'print one JSON object'),
});

const evaluateSchema = ownSchema.extend(engineSchema.shape);
export type EvaluateOptions = z.output<typeof evaluateSchema>;

const notes = `Every byte of the files but the first is predicted once: each window on its own, and, where attention and
positions allow it, each after the memory of all that came before (streaming). The loss is in nats a byte.

Examples:
  performer evaluate runs/book other.txt
  performer evaluate runs/book *.txt --window 4096 --json
  zcat other.txt.gz | performer evaluate runs/book -`;

export const evaluateCommand: CommandWords<typeof evaluateSchema> = {
  name: 'evaluate',
  text: 'measure how well a model predicts files',
  arguments: [
    { name: '<folder>', text: 'the folder of a model' },
    { name: '<files...>', text: 'the text, read one file after another; - for standard input' },
  ],
  options: evaluateSchema,
  flags: [...flagsOf('Evaluation:', ownSchema), ...engineFlags],
  notes,
};

/** `performer evaluate`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { engineFlags, engineSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { labelledFlags, labelledSchema } from './labelled-flags.js';

const ownSchema = z.strictObject({
  window: option(
    z
      .int()
      .min(1)
      .max(2 ** 24)
      .optional(),
    'tokens of a window',
    { fallback: 'that of the training, or 1024' },
  ),
  json: option(z.literal(true).optional(), 'print one JSON object'),
});

const evaluateSchema = z.strictObject({ ...ownSchema.shape, ...labelledSchema.shape, ...engineSchema.shape });
export type EvaluateOptions = z.output<typeof evaluateSchema>;

const notes = `Every token of the files but the first is predicted once: each window on its own, and, where attention and
positions allow it, each after the memory of all that came before (streaming). The loss is in nats a token, and in bits
a byte of the text. Of a classifier, files are labelled texts as train takes them, with the columns of the training
unless others are named; which classes it takes for which is told as well, or how many texts have each label, were told
to, and rightly; of a model of words, that of words and of spans. Of a model of images, files are images as train takes them; one that paints is told in bits of a value
(bitsPerDimension) and of a pixel with all its colours.

Examples:
  performer evaluate runs/book other.txt
  performer evaluate runs/book *.txt --window 4096 --json
  performer evaluate runs/spam others.csv
  zcat other.txt.gz | performer evaluate runs/book -`;

export const evaluateCommand: CommandWords<typeof evaluateSchema> = {
  arguments: [
    { name: '<folder>', text: 'the folder of a model' },
    { name: '<files...>', text: 'the text, read one file after another, or images; - for standard input' },
  ],
  options: evaluateSchema,
  flags: [...flagsOf('Evaluation:', ownSchema), ...labelledFlags, ...engineFlags],
  notes,
};

/** `performer evaluate`: what it is called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { type CommandWords, usageError } from './command.js';
import { inferenceFlags, inferenceSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { labelledFlags, labelledSchema } from './labelled-flags.js';
import { windowsSchema } from './windows.js';

const ownSchema = z.strictObject({
  window: option(
    windowsSchema.optional(),
    'tokens of a window; of a model that continues texts several with commas, each of which is a reading',
    { value: 'n', fallback: 'that of the training, or 1024' },
  ),
  record: option(
    z.literal(true).optional(),
    'keep the losses by position in the folder, from which generate tells how long texts may be',
  ),
  compareDtypes: option(
    z.literal(true).optional(),
    'a table of float32, int8 and int4: what a session holds, the loss or all measures, and the time',
  ),
  json: option(z.literal(true).optional(), 'print one JSON object'),
});

/** The window of a model that reads in one. Throws USAGE for several. */
export function onlyWindow(windows: readonly number[]): number | undefined {
  if (windows.length < 2) return windows[0];
  throw usageError(`--window: expected one for this model, got ${windows.join(',')}.`);
}

const evaluateSchema = z.strictObject({ ...ownSchema.shape, ...labelledSchema.shape, ...inferenceSchema.shape });
export type EvaluateOptions = z.output<typeof evaluateSchema>;

const notes = `Every token of the files but the first is predicted once: each window on its own, and, where attention and
positions allow it, each after the memory of all that came before (streaming). The loss is in nats a token, and in bits
a byte of the text. A table tells the loss by position in octaves (1, 2, 3–4, 5–8, …), for windows and the stream; its
last column has the same tokens as the stream in windows, since some parts of a text are harder than others. Ctrl-C ends
the evaluation. A note says where the loss at some position is more than 0.05 above that at the end of a window of the
training. Of a classifier, files are labelled texts as train takes them, with the columns of the training
unless others are named; which classes it takes for which is told as well, or how many texts have each label, were told
to, and rightly; of a model of words, that of words and of spans. Of a model of images, files are images as train takes them; one that paints is told in bits of a value
(bitsPerDimension) and of a pixel with all its colours.

Examples:
  performer evaluate runs/book other.txt
  performer evaluate runs/book other.txt --compare-dtypes
  performer evaluate runs/book *.txt --window 256,1024,4096,16384 --json
  performer evaluate runs/book longer.txt --record
  performer generate runs/book --max-tokens 20000 --no-echo | performer evaluate runs/other -
  performer evaluate runs/spam others.csv
  zcat other.txt.gz | performer evaluate runs/book -`;

export const evaluateCommand: CommandWords<typeof evaluateSchema> = {
  arguments: [
    { name: '<folder>', text: 'the folder of a model' },
    { name: '<files...>', text: 'the text, read one file after another, or images; - for standard input' },
  ],
  options: evaluateSchema,
  flags: [...flagsOf('Evaluation:', ownSchema), ...labelledFlags, ...inferenceFlags],
  notes,
};

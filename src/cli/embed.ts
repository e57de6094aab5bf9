/** `performer embed` and `performer predict`: what they are called with. */
import * as z from 'zod';
import { option } from '../base/options.js';
import type { CommandWords } from './command.js';
import { inferenceFlags, inferenceSchema } from './engine-flags.js';
import { flagsOf } from './flags.js';
import { labelledSchema } from './labelled-flags.js';
import { isStandardOutput } from './output-file.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 24);

/** What both take. */
const rowsSchema = z.strictObject({
  out: option(z.string().min(1).optional(), 'the file to write, whole or not at all', {
    value: 'file',
    fallback: 'standard output',
  }),
  format: option(z.enum(['csv', 'jsonl']).default('csv'), 'a table, or an object as JSON in each line'),
  batch: option(count.max(2 ** 16).default(8), 'texts that are read at once'),
  window: option(count.optional(), 'tokens at which a text is cut', { fallback: 'none' }),
});

const dataSchema = labelledSchema.pick({ text: true, delimiter: true, encoding: true });

const ofBoth = { ...rowsSchema.shape, ...dataSchema.shape, ...inferenceSchema.shape };
const predictSchema = z.strictObject(ofBoth);
export type TextVectorOptions = z.output<typeof predictSchema>;

const poolingSchema = z.strictObject({
  pooling: option(z.enum(['mean', 'last', 'first']).optional(), 'how the tokens of a text become one vector', {
    fallback: 'as the model says, or mean',
  }),
  normalize: option(z.boolean().optional(), 'vectors of length 1, whose products are cosines', {
    fallback: 'as the model says, or not',
  }),
});
const embedSchema = z.strictObject({ ...poolingSchema.shape, ...ofBoth });
export type EmbedOptions = z.output<typeof embedSchema>;

const files = {
  name: '<files...>',
  text: '.csv and .tsv: a text in each row; .jsonl: one in each line; all others are one text each',
};
const isReport = ({ out }: Pick<TextVectorOptions, 'out'>) => out !== undefined && !isStandardOutput(out);
const rowsNotes = `Rows come in the order of the texts, with the file and the line that each ends in. Texts are read as a
stream, so that files may be of any length. Models of images read PNG and JPEG files, IDX files and folders of images,
whose rows tell the number of an image in its file.`;

export const embedCommand: CommandWords<typeof embedSchema> = {
  arguments: [{ name: '<folder>', text: 'the folder of a model' }, files],
  options: embedSchema,
  flags: [
    ...flagsOf('Embedding:', poolingSchema),
    ...flagsOf('Rows:', rowsSchema),
    ...flagsOf('Data:', dataSchema),
    ...inferenceFlags,
  ],
  notes: `${rowsNotes}

Examples:
  performer embed runs/encoder mails/*.txt --normalize --out vectors.csv
  performer embed runs/book quotes.jsonl --text quote --pooling last --format jsonl`,
  isReport,
};

export const predictTextsCommand: CommandWords<typeof predictSchema> = {
  arguments: [{ name: '<folder>', text: 'the folder of a classifier' }, files],
  options: predictSchema,
  flags: [...flagsOf('Rows:', rowsSchema), ...flagsOf('Data:', dataSchema), ...inferenceFlags],
  notes: `Each row tells the likeliest class and the probability of each, or the labels that are likelier than not and the
probability of each, or the values. A model of words tells the label of each word: a row for each in a table, an object for each
text as JSON; .conll and .tsv files are columns of words there, and .jsonl has tokens or texts. ${rowsNotes}

Examples:
  performer predict runs/spam inbox/*.eml
  performer predict runs/names letter.txt --format jsonl
  performer predict runs/kinds photos/*.png
  performer predict runs/spam mails.csv --text body --format jsonl --out told.jsonl`,
  isReport,
};

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

const path = z.string().min(1).optional();
const formatFallback = 'as the file ends, or csv';

/** How rows are written as text. */
export const rowFormats = ['csv', 'jsonl'] as const;

/** What both take. */
const rowsSchema = z.strictObject({
  out: option(path, 'the file to write, whole or not at all', {
    value: 'file',
    fallback: 'standard output',
  }),
  format: option(z.enum(rowFormats).optional(), 'a table, or an object as JSON in each line', {
    fallback: formatFallback,
  }),
  batch: option(count.max(2 ** 16).default(8), 'texts that are read at once'),
  window: option(count.optional(), 'tokens at which a text is cut', {
    fallback: 'as the model says, or all',
  }),
});

const dataSchema = labelledSchema.pick({ text: true, delimiter: true, encoding: true });

const ofBoth = { ...rowsSchema.shape, ...dataSchema.shape, ...inferenceSchema.shape };
const predictSchema = z.strictObject(ofBoth);
export type TextVectorOptions = z.output<typeof predictSchema>;

/** How vectors are written: as text, or as NumPy reads them. */
export const vectorFormats = [...rowFormats, 'npy'] as const;

const poolingSchema = z.strictObject({
  pooling: option(
    z.enum(['mean', 'last', 'first']).optional(),
    'how the tokens of a text become one vector: the first is the class token of models that have one',
    { fallback: 'as the model says, or mean' },
  ),
  normalize: option(z.boolean().optional(), 'vectors of length 1, whose products are cosines', {
    fallback: 'as the model says, or not',
  }),
  dimensions: option(count.optional(), 'components of a vector that are kept, the first ones', { fallback: 'all' }),
  chunkTokens: option(count.optional(), 'texts are cut into chunks of at most so many tokens, with a row for each', {
    fallback: 'none; with --index as many as the model reads, where that is limited',
  }),
  chunkOverlap: option(z.int().min(0).optional(), 'tokens that a chunk shares with the one before', {
    fallback: 'an eighth of a chunk',
  }),
});
const vectorRowsSchema = rowsSchema.extend({
  format: option(z.enum(vectorFormats).optional(), 'a table, an object as JSON in each line, or a matrix for NumPy', {
    fallback: formatFallback,
  }),
  index: option(path, 'a folder to write instead, for performer search', { value: 'folder', fallback: 'none' }),
});
const embedSchema = z.strictObject({ ...ofBoth, ...poolingSchema.shape, ...vectorRowsSchema.shape });
export type EmbedOptions = z.output<typeof embedSchema>;

const files = {
  name: '<files...>',
  text: '.csv and .tsv: a text in each row; .jsonl: one in each line; all others are one text each; - is standard input',
};
const isReport = ({ out }: Pick<TextVectorOptions, 'out'>) => out !== undefined && !isStandardOutput(out);
const rowsNotes = `Rows come in the order of the texts, with the file and the line that each ends in. Texts are read as a
stream, so that files may be of any length, and those of standard input one from each line, or from JSON lines where --text
names their key. Models of images read PNG and JPEG files, IDX files and folders of images,
whose rows tell the number of an image in its file.`;

export const embedCommand: CommandWords<typeof embedSchema> = {
  arguments: [{ name: '<folder>', text: 'the folder of a model' }, files],
  options: embedSchema,
  flags: [
    ...flagsOf('Embedding:', poolingSchema),
    ...flagsOf('Rows:', vectorRowsSchema),
    ...flagsOf('Data:', dataSchema),
    ...inferenceFlags,
  ],
  notes: `${rowsNotes} An .npy file has the vectors alone, [texts, dimensions] of float32. An index has the texts beside them.

Examples:
  performer embed runs/encoder mails/*.txt --normalize --out vectors.npy
  performer embed runs/book quotes.jsonl --text quote --pooling last --format jsonl
  performer embed models/minilm "docs/**/*.md" --index docs.index`,
  isReport: ({ out, index }) => index !== undefined || isReport({ out }),
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

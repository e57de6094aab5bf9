/** The flags that say where labelled texts stand in tables and JSON lines. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { encodings } from '../data/encoding.js';
import { type TaskFamily, targetKind } from '../tasks/index.js';
import { usageError } from './command.js';
import { flagsOf } from './flags.js';

const word = z.string().min(1);

export const labelledSchema = z.strictObject({
  text: option(word.optional(), 'the column of a table, or the key of JSON lines, that holds the text', {
    value: 'name',
    fallback: 'text',
  }),
  label: option(
    z.array(word).min(1).optional(),
    'that of the class, of the labels, or of a value; values may have several',
    {
      value: 'name',
      fallback: 'label',
    },
  ),
  separator: option(word.optional(), 'what stands between the labels of a text in a column of a table', {
    value: 'text',
    fallback: ';',
  }),
  source: option(word.optional(), 'of pairs: that of the text which another is written of', {
    value: 'name',
    fallback: 'source',
  }),
  target: option(word.optional(), 'of pairs: that of what is to be written', { value: 'name', fallback: 'target' }),
  delimiter: option(word.optional(), 'what separates the columns: a character, or tab', {
    value: 'character',
    fallback: 'tab in .tsv, else ,',
  }),
  encoding: option(z.enum(encodings).optional(), 'the encoding of tables', { fallback: 'utf-8' }),
});

export type LabelledFlags = z.output<typeof labelledSchema>;

export const labelledKeys = Object.keys(labelledSchema.shape) as (keyof LabelledFlags)[];

/** The flags that tasks on such data do not have; of those on labelled texts, one alone has a separator. */
const foreign = {
  text: labelledKeys,
  labelled: ['source', 'target'],
  pairs: ['text', 'label', 'separator'],
  images: labelledKeys,
  words: labelledKeys.filter((key) => key !== 'delimiter'),
} as const;

/** Throws USAGE for the first of these flags that a task does not have. */
export function expectColumns(task: TaskFamily, flags: object): void {
  const { name, data } = task;
  const others = targetKind(task) === 'labels' ? foreign[data] : [...foreign[data], 'separator' as const];
  const own = others.find((key) => (flags as Readonly<Record<string, unknown>>)[key] !== undefined);
  if (own !== undefined) throw usageError(`--${own}: ${name} does not have it.`);
}

export const labelledFlags = flagsOf('Labelled texts:', labelledSchema);

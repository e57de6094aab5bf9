/** The flags that say where labelled texts stand in tables and JSON lines. */
import * as z from 'zod';
import { option } from '../base/options.js';
import { encodings } from '../data/encoding.js';
import { flagsOf } from './flags.js';

const word = z.string().min(1);

export const labelledSchema = z.strictObject({
  text: option(word.optional(), 'the column of a table, or the key of JSON lines, that holds the text', {
    value: 'name',
    fallback: 'text',
  }),
  label: option(z.array(word).min(1).optional(), 'that of the class, or of a value; values may have several', {
    value: 'name',
    fallback: 'label',
  }),
  delimiter: option(word.optional(), 'what separates the columns: a character, or tab', {
    value: 'character',
    fallback: 'tab in .tsv, else ,',
  }),
  encoding: option(z.enum(encodings).optional(), 'the encoding of tables', { fallback: 'utf-8' }),
});

export type LabelledFlags = z.output<typeof labelledSchema>;

export const labelledKeys = Object.keys(labelledSchema.shape) as (keyof LabelledFlags)[];

export const labelledFlags = flagsOf('Labelled texts:', labelledSchema);

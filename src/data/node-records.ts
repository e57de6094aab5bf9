/** Records in files: the rows of a table (.csv, .tsv), or the lines of JSON lines (.jsonl, .ndjson), read as a stream. */
import { extname } from 'node:path';
import { PerformerError } from '../base/errors.js';
import type { Encoding } from './encoding.js';
import { openCsv } from './node-csv.js';
import { linesIn, linesOf, objectOfLine, type TextLine } from './node-lines.js';

/** How the files are read. */
export interface RecordOptions {
  /** Of tables: one character; a tab for files called .tsv, and otherwise a comma, unless given. */
  readonly delimiter?: string | undefined;
  /** Of tables; utf-8 unless given. */
  readonly encoding?: Encoding | undefined;
}

/** A row of a table, or a line of JSON. */
export interface FileRecord {
  /** Where it ends in its file, from 1. */
  readonly line: number;
  /** One for each name that was asked for: text in a table, any value of JSON, and undefined where a line has none. */
  readonly values: readonly unknown[];
}

/** What the name of a file tells of it; nothing where it holds no records. */
export function recordFormatOf(path: string): 'table' | 'lines' | undefined {
  const extension = extname(path).toLowerCase();
  if (extension === '.csv' || extension === '.tsv') return 'table';
  return extension === '.jsonl' || extension === '.ndjson' ? 'lines' : undefined;
}

/**
 * The values of some columns of a table, or keys of JSON lines. A file of another name is read as a table.
 *
 * @throws DATA for a file that cannot be read, for columns that are not there, and for a line that is no record.
 */
export async function* recordsOf(
  path: string,
  names: readonly string[],
  { delimiter = extname(path).toLowerCase() === '.tsv' ? '\t' : ',', encoding }: RecordOptions = {},
): AsyncGenerator<FileRecord> {
  if (recordFormatOf(path) === 'lines') return yield* objectsOf(path, names, linesOf(path));
  const { columns, rows } = await openCsv(path, { header: true, delimiter, encoding });
  const indices = names.map((name) => {
    const index = columns.indexOf(name);
    if (index >= 0) return index;
    const got = `columns ${columns.join(', ')}. Name the columns.`;
    throw new PerformerError('DATA', `${path}, line 1: expected a column ${name}, got ${got}`);
  });
  for await (const { fields, line } of rows()) yield { line, values: indices.map((index) => fields[index]) };
}

/** The values of some keys of JSON lines as they come; errors name `path`. Throws DATA for a line that is no object. */
export function recordsIn(
  path: string,
  names: readonly string[],
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<FileRecord> {
  return objectsOf(path, names, linesIn(path, bytes));
}

async function* objectsOf(
  path: string,
  names: readonly string[],
  lines: AsyncIterable<TextLine>,
): AsyncGenerator<FileRecord> {
  for await (const line of lines) {
    const found = objectOfLine(path, line);
    yield { line: line.line, values: names.map((name) => found[name]) };
  }
}

/** The text of a record. Throws DATA where it is none. */
export function textOfRecord(path: string, name: string, { line, values: [text] }: FileRecord): string {
  if (typeof text === 'string') return text;
  throw new PerformerError('DATA', `${path}, line ${line}: expected a text as ${name}, got ${jsonOf(text)}.`);
}

/** A value in a message. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}

/**
 * Texts whose words have labels on disk, for Node: JSON lines with `tokens` and `labels`, or with `text` and
 * `spans: [{ start, end, label }]`; or columns as of CoNLL, a word in each line with its label behind a tab, and an empty line
 * between two texts.
 */
import { extname } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { linesOf, objectOfLine, type TextLine } from './node-lines.js';
import { readWhole } from './node-read.js';
import { jsonOf, recordFormatOf } from './node-records.js';
import { joinWords, type Span, type TaggedText, tagSpans, tagWords, type WordText, wordsOf } from './words.js';

/** How a file of columns is read. */
export interface ColumnOptions {
  /** What stands between the word, which comes first, and the label, which comes last; a tab unless given. */
  readonly delimiter?: string | undefined;
}

/** A text of a file, with labels where it has any. */
export interface WordRecord extends WordText {
  /** Where it ends in its file, from 1; absent where it is the whole file. */
  readonly line?: number | undefined;
  readonly labels?: readonly string[] | undefined;
}

/** The texts of a file with their labels. Throws DATA for a file that cannot be read or holds none, and for texts without labels. */
export async function readTaggedFile(path: string, options: ColumnOptions = {}): Promise<readonly TaggedText[]> {
  const all: TaggedText[] = [];
  const records = recordFormatOf(path) === 'lines' ? lineRecords(path) : columnRecords(path, options);
  for await (const { line, labels, text, words } of records) {
    if (labels === undefined) {
      const expected = 'a label behind each word, or spans beside a text';
      throw new PerformerError('DATA', `${path}, line ${line}: expected ${expected}, got a text without labels.`);
    }
    all.push({ text, words, labels });
  }
  if (all.length === 0) throw new PerformerError('DATA', `read ${path}: expected texts with labels, got none.`);
  return all;
}

/** The texts of a file: JSON lines, columns (.conll, .tsv), or one text that is the whole file. Throws DATA for one that cannot be read. */
export async function* wordRecordsOf(path: string, options: ColumnOptions = {}): AsyncGenerator<WordRecord> {
  if (recordFormatOf(path) === 'lines') yield* lineRecords(path);
  else if (['.conll', '.tsv'].includes(extname(path).toLowerCase())) yield* columnRecords(path, options);
  else yield wordsOf(new TextDecoder().decode(await readWhole(path)));
}

async function* lineRecords(path: string): AsyncGenerator<WordRecord> {
  for await (const line of linesOf(path)) {
    const { tokens, labels, text, spans } = objectOfLine(path, line);
    const where = `${path}, line ${line.line}`;
    const place = { line: line.line };
    if (tokens !== undefined) {
      const words = listOf(where, 'tokens', tokens);
      yield {
        ...place,
        ...(labels === undefined ? joinWords(words) : tagWords(words, listOf(where, 'labels', labels), where)),
      };
    } else if (typeof text === 'string') {
      yield { ...place, ...(spans === undefined ? wordsOf(text) : tagSpans(text, spanList(where, spans), where)) };
    } else {
      throw new PerformerError('DATA', `${where}: expected tokens, or a text, got ${jsonOf(text)}.`);
    }
  }
}

function listOf(where: string, name: string, given: unknown): readonly string[] {
  if (Array.isArray(given) && given.every((each) => typeof each === 'string' || typeof each === 'number')) {
    return given.map(String);
  }
  throw new PerformerError('DATA', `${where}: expected a list of texts as ${name}, got ${jsonOf(given)}.`);
}

function spanList(where: string, given: unknown): readonly Span[] {
  const isSpan = (each: unknown) => {
    const { start, end, label } = Object(each) as Partial<Record<keyof Span, unknown>>;
    return typeof start === 'number' && typeof end === 'number' && typeof label === 'string';
  };
  if (Array.isArray(given) && given.every(isSpan)) return given;
  throw new PerformerError(
    'DATA',
    `${where}: expected a list of { start, end, label } as spans, got ${jsonOf(given)}.`,
  );
}

async function* columnRecords(path: string, { delimiter = '\t' }: ColumnOptions): AsyncGenerator<WordRecord> {
  let own: TextLine[] = [];
  for await (const line of linesOf(path)) {
    if (own.length > 0 && line.line > own.length + (own[0] as TextLine).line) {
      yield columnRecord(path, own, delimiter); // an empty line was passed over
      own = [];
    }
    own.push(line);
  }
  if (own.length > 0) yield columnRecord(path, own, delimiter);
}

function columnRecord(path: string, lines: readonly TextLine[], delimiter: string): WordRecord {
  const rows = lines.map(({ text }) => text.replace(/\r$/, '').split(delimiter));
  const { line } = lines.at(-1) as TextLine;
  const columns = rows[0]?.length;
  const other = rows.findIndex(({ length }) => length !== columns);
  if (other >= 0) {
    const got = `${rows[other]?.length}`;
    const expected = `${columns} columns, as the line before has`;
    throw new PerformerError('DATA', `${path}, line ${lines[other]?.line}: expected ${expected}, got ${got}.`);
  }
  const words = rows.map((row) => row[0] as string);
  if (columns === 1) return { line, ...joinWords(words) };
  const labels = rows.map((row) => (row.at(-1) as string).trim());
  return { line, ...tagWords(words, labels, `${path}, line ${line}`) };
}

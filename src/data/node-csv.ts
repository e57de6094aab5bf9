/**
 * CSV files (RFC 4180) as tables, read as a stream: quoted fields with line breaks in them, LF, CRLF or CR, and a byte
 * order mark are understood; empty lines are passed over, but for those between the rows of a single column, which may
 * be values that are missing.
 */
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { CsvError, InfoRecord } from 'csv-parse';
import { PerformerError } from '../base/errors.js';
import type { Encoding } from './encoding.js';
import { openRegularFile, readError } from './node-read.js';
import { decodedText } from './node-text.js';
import { delimiterHint, mostColumns, repeatedName, type Table, type TableRow } from './table.js';

export interface CsvOptions {
  /** Whether the first row names the columns; without, they are called 1, 2, … */
  readonly header: boolean;
  /** One character. */
  readonly delimiter: string;
  /** Of the text, unless a byte order mark names another; utf-8 unless given. */
  readonly encoding?: Encoding | undefined;
}

/** A row that is longer has, as a rule, a quote that was never closed. */
const longestRow = 2 ** 24;

interface CsvRow extends TableRow {
  /** Empty lines of the file up to here. */
  readonly emptyLines: number;
}

function dataError(path: string, line: number, expected: string, got: string, advice = ''): PerformerError {
  return new PerformerError('DATA', `${path}, line ${line}: expected ${expected}, got ${got}.${advice}`);
}

/** Where the parser is: it runs ahead of the rows that are taken from it, and errors are about its own place. */
class Place {
  #isFirst = true;
  /** The parser counts a CRLF within quotes as two lines. */
  #countedTwice = 0;
  #last: CsvRow | undefined;
  #header: readonly string[] | undefined;

  constructor(
    private readonly path: string,
    private readonly options: CsvOptions,
  ) {}

  row(
    fields: readonly string[],
    { lines, empty_lines: emptyLines }: Pick<InfoRecord, 'lines' | 'empty_lines'>,
  ): CsvRow {
    for (const field of fields) if (field.includes('\r\n')) this.#countedTwice += field.split('\r\n').length - 1;
    if (this.#isFirst && this.options.header) this.#header = fields;
    this.#isFirst = false;
    this.#last = { fields, line: lines - this.#countedTwice, emptyLines };
    return this.#last;
  }

  /** Bytes of another encoding: the last row ends with them, or the parser failed because of them. */
  encodingError(encoding: Encoding, cause?: CsvError): PerformerError {
    const line = cause === undefined ? (this.#last?.line ?? 1) : this.#lineOf(cause);
    const index = cause === undefined ? (this.#last?.fields.length ?? 1) - 1 : Number(cause.index);
    const isHeader = cause === undefined && this.#last?.fields === this.#header;
    const name = isHeader ? undefined : this.#header?.[index]?.trim();
    const column = `column ${index + 1}${name === undefined ? '' : ` ("${name}")`}`;
    return new PerformerError(
      'DATA',
      `${this.path}, line ${line}, ${column}: expected text in ${encoding}, got bytes that are none. ` +
        'Name its encoding with --encoding; western tables that are not in utf-8 are mostly in latin1.',
      { cause },
    );
  }

  #lineOf(cause: CsvError): number {
    return Number(cause.lines) - this.#countedTwice;
  }

  csvError(cause: CsvError): PerformerError {
    const error = (place: string, got: string) =>
      new PerformerError('DATA', `${this.path}, ${place}: expected a row of CSV, got ${got}.`, { cause });
    // Of a quote that stays open, the row is known in which it opens: the parser only finds it out at the end.
    const emptyLines = Number(cause.empty_lines) - (this.#last?.emptyLines ?? 0);
    const row = `line ${(this.#last?.line ?? 0) + emptyLines + 1}`;
    const field = `field ${Number(cause.index) + 1}`;
    if (cause.code === 'CSV_QUOTE_NOT_CLOSED')
      return error(row, `a quote that is open at the end of the file, from ${field} of this row on`);
    if (cause.code === 'CSV_MAX_RECORD_SIZE') {
      return error(
        row,
        `one of more than ${longestRow} bytes. A quote may be open in ${field}, or the delimiter another`,
      );
    }
    const got: Partial<Record<CsvError['code'], string>> = {
      INVALID_OPENING_QUOTE: 'a quote inside a field without quotes',
      CSV_INVALID_CLOSING_QUOTE: 'text after a closing quote',
    };
    return error(`line ${this.#lineOf(cause)}`, got[cause.code] ?? cause.message);
  }
}

/** Every row with the line that it ends in. */
async function* parsedRows(path: string, options: CsvOptions): AsyncGenerator<CsvRow> {
  // Loaded for tables alone: commands that read none begin sooner.
  const { CsvError: ParserError, parse } = await import('csv-parse');
  const place = new Place(path, options);
  let broken: Encoding | undefined;
  const text = Readable.from(
    decodedText(path, options.encoding ?? 'utf-8', (encoding) => {
      broken = encoding;
    }),
  );
  const parser = parse({
    delimiter: options.delimiter,
    record_delimiter: ['\r\n', '\n', '\r'],
    // The types know no other records than arrays, which the parser hands on whatever they are.
    on_record: (record, info) => place.row(record, info) as unknown as string[],
    relax_column_count: true, // columns are counted here, for a message of our own
    skip_empty_lines: true,
    max_record_size: longestRow,
  });
  text.on('error', (cause) => parser.destroy(cause));
  text.pipe(parser);
  try {
    for await (const row of parser as AsyncIterable<CsvRow>) if (broken === undefined) yield row;
    if (broken !== undefined) throw place.encodingError(broken);
  } catch (cause) {
    if (!(cause instanceof ParserError)) throw readError('DATA', `read ${path}`, cause);
    throw broken === undefined ? place.csvError(cause) : place.encodingError(broken, cause);
  } finally {
    text.destroy();
  }
}

/** What tells that a file is another, or was written to. */
async function fingerprint(path: string): Promise<string> {
  const { ino, size, mtimeNs } = await stat(path, { bigint: true });
  return `${ino} ${size} ${mtimeNs}`;
}

/**
 * A CSV file as a table. Its first row is read to know the columns; one without a name is called `unnamed-` and its
 * position, counted from 1. Throws CONFIG for a delimiter of more than a character, and DATA for a file that is missing,
 * empty, malformed or of another encoding, for columns of one name or too many of them, and, while rows are read, for a row
 * with more or fewer fields than there are columns, and for a file that has changed since it was opened.
 */
export async function openCsv(path: string, options: CsvOptions): Promise<Table> {
  const { header, delimiter } = options;
  if ([...delimiter].length !== 1 || /["\r\n]/.test(delimiter)) {
    throw new PerformerError(
      'CONFIG',
      `openCsv: expected one character as the delimiter, got ${JSON.stringify(delimiter)}.`,
    );
  }
  const { file } = await openRegularFile('DATA', `read ${path}`, path);
  await file.close();
  const opened = await fingerprint(path);
  const { columns, unnamed } = await readColumns(path, options);
  return {
    name: path,
    columns,
    unnamed,
    async *rows() {
      let before: CsvRow | undefined;
      for await (const row of parsedRows(path, options)) {
        checkRow(path, row, before, columns);
        if (before !== undefined || !header) yield row;
        before = row;
      }
      const now = await fingerprint(path).catch((cause: unknown) => {
        throw readError('DATA', `read ${path}`, cause);
      });
      if (now !== opened) {
        throw new PerformerError(
          'DATA',
          `read ${path}: expected the file that was opened, got one that has changed since. Leave it alone while it is read.`,
        );
      }
    },
  };
}

function checkRow(path: string, row: CsvRow, before: CsvRow | undefined, columns: readonly string[]): void {
  const { fields, line } = row;
  if (fields.length !== columns.length) {
    const isOne = columns.length === 1 || fields.length === 1;
    const advice = delimiterHint(columns) || (isOne ? ' Is the delimiter another?' : '');
    throw dataError(path, line, `${columns.length} fields as in the first row`, `${fields.length}`, advice);
  }
  if (columns.length === 1 && before !== undefined && row.emptyLines > before.emptyLines) {
    const advice = ' In a table of one column it may be a value that is missing: fill it in, or delete the line.';
    throw dataError(path, before.line + 1, 'a value', 'an empty line', advice);
  }
}

async function readColumns(path: string, options: CsvOptions): Promise<Required<Pick<Table, 'columns' | 'unnamed'>>> {
  for await (const { fields, line } of parsedRows(path, options)) {
    if (fields.length > mostColumns) {
      const advice = ' Leave out what is not needed, or write several tables.';
      throw dataError(path, line, `at most ${mostColumns} columns`, `${fields.length}`, advice);
    }
    if (!options.header) return { columns: fields.map((_, index) => String(index + 1)), unnamed: [] };
    const columns = fields.map((field, index) => field.trim() || `unnamed-${index + 1}`);
    const twice = repeatedName(columns);
    if (twice !== undefined) {
      throw dataError(path, line, 'a name of its own for each column', `"${twice}" twice`, ' Has the file no header?');
    }
    return { columns, unnamed: columns.filter((_, index) => fields[index]?.trim() === '') };
  }
  throw new PerformerError('DATA', `read ${path}: expected rows, got an empty file.`);
}

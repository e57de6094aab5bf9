/**
 * CSV files (RFC 4180) as tables, read as a stream: quoted fields with line breaks in them, LF, CRLF or CR, and a byte
 * order mark are understood; empty lines are passed over.
 */
import { createReadStream } from 'node:fs';
import { CsvError, parse } from 'csv-parse';
import { PerformerError } from '../base/errors.js';
import { openRegularFile, readError } from './node-read.js';
import type { Table, TableRow } from './table.js';

export interface CsvOptions {
  /** Whether the first row names the columns; without, they are called 1, 2, … */
  readonly header: boolean;
  /** One character. */
  readonly delimiter: string;
}

/** A row that is longer has, as a rule, a quote that was never closed. */
const longestRow = 2 ** 24;

interface Parsed {
  readonly record: readonly string[];
  readonly info: { readonly lines: number };
}

function dataError(path: string, line: number, expected: string, got: string, advice = ''): PerformerError {
  return new PerformerError('DATA', `${path}, line ${line}: expected ${expected}, got ${got}.${advice}`);
}

/** Every row with the line that it ends in. */
async function* parsedRows(path: string, delimiter: string): AsyncGenerator<TableRow> {
  const file = createReadStream(path);
  const parser = parse({
    bom: true,
    delimiter,
    record_delimiter: ['\r\n', '\n', '\r'],
    info: true,
    relax_column_count: true, // columns are counted here, for a message of our own
    skip_empty_lines: true,
    max_record_size: longestRow,
  });
  file.on('error', (cause) => parser.destroy(cause));
  file.pipe(parser);
  try {
    let twice = 0; // the parser counts a CRLF within quotes as two lines
    for await (const { record, info } of parser as AsyncIterable<Parsed>) {
      for (const field of record) if (field.includes('\r\n')) twice += field.split('\r\n').length - 1;
      yield { fields: record, line: info.lines - twice };
    }
  } catch (cause) {
    throw cause instanceof CsvError ? csvError(path, cause) : readError('DATA', `read ${path}`, cause);
  } finally {
    file.destroy();
  }
}

function csvError(path: string, cause: CsvError): PerformerError {
  const line = Number(cause.lines);
  const place = Number.isSafeInteger(line) ? `${path}, line ${line}` : path;
  const got: Partial<Record<CsvError['code'], string>> = {
    CSV_MAX_RECORD_SIZE: `one of more than ${longestRow} bytes. A quote may be open, or the delimiter another`,
    CSV_QUOTE_NOT_CLOSED: 'a quote that is open at the end of the file',
    INVALID_OPENING_QUOTE: 'a quote inside a field without quotes',
    CSV_INVALID_CLOSING_QUOTE: 'text after a closing quote',
  };
  return new PerformerError('DATA', `${place}: expected a row of CSV, got ${got[cause.code] ?? cause.message}.`, {
    cause,
  });
}

/**
 * A CSV file as a table. Its first row is read to know the columns. Throws DATA for a file that is missing, empty or
 * malformed, for columns of one name, and, while rows are read, for a row with more or fewer fields than there are columns.
 */
export async function openCsv(path: string, { header, delimiter }: CsvOptions): Promise<Table> {
  if ([...delimiter].length !== 1 || /["\r\n]/.test(delimiter)) {
    throw new PerformerError(
      'CONFIG',
      `openCsv: expected one character as the delimiter, got ${JSON.stringify(delimiter)}.`,
    );
  }
  const { file } = await openRegularFile('DATA', `read ${path}`, path);
  await file.close();
  const columns = await readColumns(path, header, delimiter);
  return {
    name: path,
    columns,
    async *rows() {
      let isHeader = header;
      for await (const row of parsedRows(path, delimiter)) {
        if (row.fields.length !== columns.length) {
          const advice = columns.length === 1 || row.fields.length === 1 ? ' Is the delimiter another?' : '';
          throw dataError(
            path,
            row.line,
            `${columns.length} fields as in the first row`,
            `${row.fields.length}`,
            advice,
          );
        }
        if (!isHeader) yield row;
        isHeader = false;
      }
    },
  };
}

async function readColumns(path: string, header: boolean, delimiter: string): Promise<readonly string[]> {
  for await (const { fields, line } of parsedRows(path, delimiter)) {
    if (!header) return fields.map((_, index) => String(index + 1));
    const names = fields.map((field) => field.trim());
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) {
      throw dataError(path, line, 'a name of its own for each column', `"${twice}" twice`, ' Has the file no header?');
    }
    return names;
  }
  throw new PerformerError('DATA', `read ${path}: expected rows, got an empty file.`);
}

/** `performer predict` and `performer embed` at work: a row for each text of files, written as it comes. */
import { readFile } from 'node:fs/promises';
import { recordFormatOf, recordsOf, textOfRecord } from '../data/node.js';
import { openRegularFile, readError } from '../data/node-read.js';
import { csvLine } from './csv-line.js';
import type { TextVectorOptions } from './embed.js';
import { formatCount } from './format.js';
import type { Io } from './io.js';
import { delimiterOf } from './kernel-format.js';
import { expectWritable, isStandardOutput, writeOutput } from './output-file.js';
import { rowProgress } from './row-progress.js';

/** Where a text stands. */
export interface TextPlace {
  readonly file: string;
  /** Absent where a text is the whole file. */
  readonly line?: number | undefined;
}

interface PlacedText extends TextPlace {
  readonly text: string | Uint8Array;
}

/** What is written of each text. */
export interface VectorRows {
  /** The names of what comes after the place, for the first line of CSV. */
  readonly columns: readonly string[];
  vectors(texts: readonly (string | Uint8Array)[]): Promise<Float32Array[]>;
  /** The fields of CSV after those of the place. */
  fields(vector: Float32Array): readonly string[];
  /** What an object of JSON lines has beside the place. */
  object(vector: Float32Array): object;
}

/** Batches that are read before they are sorted by length. */
const poolBatches = 16;

export async function writeVectors(
  files: readonly string[],
  options: TextVectorOptions,
  rows: VectorRows,
  io: Io,
): Promise<void> {
  const { out = '-' } = options;
  const progress = rowProgress(io.stderr, 'texts');
  let count = 0;
  const watched = async function* () {
    if (options.format === 'csv') yield csvLine(['file', 'line', ...rows.columns]);
    for await (const pool of pools(textsOf(files, options), options.batch * poolBatches)) {
      const vectors = await rows.vectors(pool.map(({ text }) => text));
      count += pool.length;
      progress.show('reading', count);
      yield pool.map((place, at) => lineOf(place, vectors[at] as Float32Array, rows, options.format)).join('');
    }
  };
  try {
    await writeOutput(io, out, watched());
  } finally {
    progress.close();
  }
  if (!isStandardOutput(out)) io.stdout.write(`${formatCount(count)} rows are in ${out}.\n`);
}

/** Throws DATA before the model is read where the output cannot be written. */
export async function expectOutput({ out = '-' }: Pick<TextVectorOptions, 'out'>): Promise<void> {
  await expectWritable('--out', out);
}

function lineOf({ file, line }: TextPlace, vector: Float32Array, rows: VectorRows, format: string): string {
  if (format === 'csv') return csvLine([file, line === undefined ? '' : String(line), ...rows.fields(vector)]);
  return `${JSON.stringify({ file, line, ...rows.object(vector) })}\n`;
}

async function* textsOf(files: readonly string[], options: TextVectorOptions): AsyncGenerator<PlacedText> {
  const { text: name = 'text', encoding } = options;
  const delimiter = options.delimiter === undefined ? undefined : delimiterOf(options.delimiter);
  for (const file of files) {
    if (recordFormatOf(file) === undefined) yield { file, text: await wholeFile(file) };
    else {
      for await (const record of recordsOf(file, [name], { delimiter, encoding })) {
        yield { file, line: record.line, text: textOfRecord(file, name, record) };
      }
    }
  }
}

async function wholeFile(path: string): Promise<Uint8Array> {
  const where = `read ${path}`;
  const { file } = await openRegularFile('DATA', where, path);
  await file.close();
  return readFile(path).catch((cause: unknown) => {
    throw readError('DATA', where, cause);
  });
}

async function* pools<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let pool: T[] = [];
  for await (const item of items) {
    pool.push(item);
    if (pool.length < size) continue;
    yield pool;
    pool = [];
  }
  if (pool.length > 0) yield pool;
}

/** `performer predict` and `performer embed` at work: a row for each text or image of files, written as it comes. */
import { expectSize, type ImageSize } from '../data/index.js';
import { imagesOf, placeInWords, recordFormatOf, recordsOf, textOfRecord } from '../data/node.js';
import { readWhole } from '../data/node-read.js';
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
  /** Of many images, the number of one of them. Absent where a text or an image is the whole file. */
  readonly line?: number | undefined;
}

interface PlacedText extends TextPlace {
  /** The values of an image. */
  readonly text: string | Uint8Array;
}

/** What is written of each text. */
export interface VectorRows {
  /** The size of images, where files hold images. */
  readonly image?: ImageSize | undefined;
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

/** What is written of each item of a kind. */
export interface TextRows<T, V> {
  /** What items are called. */
  readonly unit: string;
  /** The first line of CSV. */
  readonly header: readonly string[];
  tell(items: readonly T[]): Promise<readonly V[]>;
  /** The line of an item, or its lines. */
  lines(item: T, told: V): string;
}

/** Writes what is told of items, as it comes. */
export async function writeRows<T, V>(
  items: AsyncIterable<T>,
  { out = '-', format, batch }: TextVectorOptions,
  rows: TextRows<T, V>,
  io: Io,
): Promise<void> {
  const progress = rowProgress(io.stderr, rows.unit);
  let count = 0;
  const watched = async function* () {
    if (format === 'csv') yield csvLine(rows.header);
    for await (const pool of pools(items, batch * poolBatches)) {
      const told = await rows.tell(pool);
      count += pool.length;
      progress.show('reading', count);
      yield pool.map((item, at) => rows.lines(item, told[at] as V)).join('');
    }
  };
  try {
    await writeOutput(io, out, watched());
  } finally {
    progress.close();
  }
  if (!isStandardOutput(out)) io.stdout.write(`${formatCount(count)} rows are in ${out}.\n`);
}

export async function writeVectors(
  files: readonly string[],
  options: TextVectorOptions,
  rows: VectorRows,
  io: Io,
): Promise<void> {
  const { image } = rows;
  const [unit, place] = image === undefined ? ['texts', 'line'] : ['images', 'image'];
  const items = image === undefined ? textsOf(files, options) : pixelsOf(files, image);
  const all: TextRows<PlacedText, Float32Array> = {
    unit,
    header: ['file', place, ...rows.columns],
    tell: (pool) => rows.vectors(pool.map(({ text }) => text)),
    lines: (item, vector) => lineOf(item, vector, rows, options.format),
  };
  await writeRows(items, options, all, io);
}

/** Throws DATA before the model is read where the output cannot be written. */
export async function expectOutput({ out = '-' }: Pick<TextVectorOptions, 'out'>): Promise<void> {
  await expectWritable('--out', out);
}

function lineOf({ file, line }: TextPlace, vector: Float32Array, rows: VectorRows, format: string): string {
  if (format === 'csv') return csvLine([file, line === undefined ? '' : String(line), ...rows.fields(vector)]);
  const place = rows.image === undefined ? { line } : { image: line };
  return `${JSON.stringify({ file, ...place, ...rows.object(vector) })}\n`;
}

async function* pixelsOf(files: readonly string[], size: ImageSize): AsyncGenerator<PlacedText> {
  for await (const { image, ...place } of imagesOf(files)) {
    expectSize(placeInWords(place), image, size);
    yield { file: place.file, line: place.number, text: image.pixels };
  }
}

async function* textsOf(files: readonly string[], options: TextVectorOptions): AsyncGenerator<PlacedText> {
  const { text: name = 'text', encoding } = options;
  const delimiter = options.delimiter === undefined ? undefined : delimiterOf(options.delimiter);
  for (const file of files) {
    if (recordFormatOf(file) === undefined) yield { file, text: await readWhole(file) };
    else {
      for await (const record of recordsOf(file, [name], { delimiter, encoding })) {
        yield { file, line: record.line, text: textOfRecord(file, name, record) };
      }
    }
  }
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

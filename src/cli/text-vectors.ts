/** `performer predict` and `performer embed` at work: a row for each text or image of files, written as it comes. */
import { expectSize, type ImageSize } from '../data/index.js';
import { imagesOf, placeInWords } from '../data/node.js';
import { csvLine } from './csv-line.js';
import type { TextVectorOptions } from './embed.js';
import { formatCount } from './format.js';
import type { Io } from './io.js';
import { expectWritable, isStandardOutput, writeOutput } from './output-file.js';
import type { PlacedText, TextPlace } from './placed-texts.js';
import { rowProgress } from './row-progress.js';

/** What is written of each text. */
export interface VectorRows {
  /** The size of images, where files hold images. */
  readonly image?: ImageSize | undefined;
  /** Whether texts come as chunks, whose place is written too. */
  readonly isCut?: boolean | undefined;
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

/** What is told of each item of a kind. */
export interface ToldItems<T, V> {
  /** What items are called. */
  readonly unit: string;
  readonly batch: number;
  /** Where they go, for the line that says so in the end; none where that is standard output. */
  readonly place: string | undefined;
  tell(items: readonly T[]): Promise<readonly V[]>;
}

/** An item with what is told of it. */
export interface Told<T, V> {
  readonly item: T;
  readonly told: V;
}

/** Hands what is told of items to what writes it, as it comes: in the memory of some batches, in the order of the items. */
export async function writeTold<T, V>(
  items: AsyncIterable<T>,
  { unit, batch, place, tell }: ToldItems<T, V>,
  io: Io,
  write: (pools: AsyncIterable<readonly Told<T, V>[]>) => Promise<unknown>,
): Promise<void> {
  const progress = rowProgress(io.stderr, unit);
  let count = 0;
  const watched = async function* () {
    for await (const pool of pools(items, batch * poolBatches)) {
      const told = await tell(pool);
      count += pool.length;
      progress.show('reading', count);
      yield pool.map((item, at) => ({ item, told: told[at] as V }));
    }
  };
  try {
    await write(watched());
  } finally {
    progress.close();
  }
  if (place !== undefined) {
    io.stdout.write(`${formatCount(count)} ${count === 1 ? 'row is' : 'rows are'} in ${place}.\n`);
  }
}

/** What is written of each item of a kind. */
export interface TextRows<T, V> extends Pick<ToldItems<T, V>, 'unit' | 'tell'> {
  /** The first line of CSV; none of JSON lines. */
  readonly header: readonly string[] | undefined;
  /** The line of an item, or its lines. */
  lines(item: T, told: V): string;
}

/** Writes the lines of items. */
export async function writeRows<T, V>(
  items: AsyncIterable<T>,
  { out = '-', batch }: Pick<TextVectorOptions, 'out' | 'batch'>,
  { unit, tell, header, lines }: TextRows<T, V>,
  io: Io,
): Promise<void> {
  const place = isStandardOutput(out) ? undefined : out;
  await writeTold(items, { unit, batch, place, tell }, io, (pools) => {
    const text = async function* () {
      if (header !== undefined) yield csvLine(header);
      for await (const pool of pools) yield pool.map(({ item, told }) => lines(item, told)).join('');
    };
    return writeOutput(io, out, text());
  });
}

/** The format that was asked for, or else that which the name of the file ends with, or else CSV. */
export function formatOf<F extends string>(
  { format, out = '' }: { readonly format?: F | undefined; readonly out?: string | undefined },
  known: readonly F[],
): F | 'csv' {
  return format ?? known.find((name) => out.toLowerCase().endsWith(`.${name}`)) ?? 'csv';
}

/** Writes a row for each text. */
export async function writeVectors(
  items: AsyncIterable<PlacedText>,
  options: Pick<TextVectorOptions, 'out' | 'batch'>,
  format: 'csv' | 'jsonl',
  rows: VectorRows,
  io: Io,
): Promise<void> {
  const [unit, place] = rows.image === undefined ? ['texts', 'line'] : ['images', 'image'];
  const header = ['file', place, ...(rows.isCut ? ['start', 'end'] : []), ...rows.columns];
  const all: TextRows<PlacedText, Float32Array> = {
    unit,
    header: format === 'csv' ? header : undefined,
    tell: (pool) => rows.vectors(pool.map(({ text }) => text)),
    lines: (item, vector) => lineOf(item, vector, rows, format),
  };
  await writeRows(items, options, all, io);
}

/** Throws DATA before the model is read where the output cannot be written. */
export async function expectOutput({ out = '-' }: Pick<TextVectorOptions, 'out'>): Promise<void> {
  await expectWritable('--out', out);
}

function lineOf({ file, line, start, end }: TextPlace, vector: Float32Array, rows: VectorRows, format: string): string {
  if (format === 'csv') {
    const place = [line, ...(rows.isCut ? [start, end] : [])].map((value) => String(value ?? ''));
    return csvLine([file, ...place, ...rows.fields(vector)]);
  }
  const place = rows.image === undefined ? { line, start, end } : { image: line };
  return `${JSON.stringify({ file, ...place, ...rows.object(vector) })}\n`;
}

/** The images of files, as texts whose bytes are pixels. */
export async function* pixelsOf(files: readonly string[], size: ImageSize): AsyncGenerator<PlacedText> {
  for await (const { image, ...place } of imagesOf(files)) {
    expectSize(placeInWords(place), image, size);
    yield { file: place.file, line: place.number, text: image.pixels };
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

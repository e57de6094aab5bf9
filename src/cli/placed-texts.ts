/** Texts of files and of standard input with their places, as they come; and their chunks. */
import { PerformerError } from '../base/errors.js';
import { linesIn, recordFormatOf, recordsIn, recordsOf, textOfRecord } from '../data/node.js';
import { readWhole } from '../data/node-read.js';
import type { Chunk } from '../search/index.js';
import type { TextVectorOptions } from './embed.js';
import type { Io } from './io.js';
import { delimiterOf } from './kernel-format.js';
import { bytesOf, standardInput } from './standard-input.js';

/** Where a text stands. */
export interface TextPlace {
  readonly file: string;
  /**
   * Of a record, where it ends; of many images, the number of one of them; of a chunk of another file, where it begins. Absent where
   * a text or an image is the whole file.
   */
  readonly line?: number | undefined;
  /** Of a chunk: where it begins and ends in its text, in UTF-16 code units. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

export interface PlacedText<T = string | Uint8Array> extends TextPlace {
  /** The values of an image. */
  readonly text: T;
}

/** The texts of tables, of JSON lines and of other files, each of which is one, and those of standard input, one in each line. */
export async function* textsOf(
  files: readonly string[],
  options: Pick<TextVectorOptions, 'text' | 'delimiter' | 'encoding'>,
  { stdin }: Io,
): AsyncGenerator<PlacedText> {
  const { text: name = 'text', encoding } = options;
  const delimiter = options.delimiter === undefined ? undefined : delimiterOf(options.delimiter);
  for (const file of files) {
    if (file === standardInput) yield* textsOfStream(options.text, stdin);
    else if (recordFormatOf(file) === undefined) yield { file, text: await readWhole(file) };
    else {
      for await (const record of recordsOf(file, [name], { delimiter, encoding })) {
        yield { file, line: record.line, text: textOfRecord(file, name, record) };
      }
    }
  }
}

/** The texts of a stream: of JSON lines where a key is named. */
async function* textsOfStream(name: string | undefined, stdin: Io['stdin']): AsyncGenerator<PlacedText> {
  const file = standardInput;
  if (name === undefined) {
    for await (const { line, text } of linesIn(file, bytesOf(stdin))) yield { file, line, text: text.trimEnd() };
    return;
  }
  for await (const record of recordsIn(file, [name], bytesOf(stdin))) {
    yield { file, line: record.line, text: textOfRecord(file, name, record) };
  }
}

/** Texts as strings; those without a letter are left out, and told of. Throws DATA for a file that is not in utf-8. */
export async function* readableTexts(texts: AsyncIterable<PlacedText>, io: Io): AsyncGenerator<PlacedText<string>> {
  for await (const { text: given, ...place } of texts) {
    const text = typeof given === 'string' ? given : decoded(place.file, given);
    if (text.trim() !== '') yield { ...place, text };
    else {
      const line = place.line === undefined ? '' : `, line ${place.line}`;
      io.stderr.write(`${place.file}${line}: there is no text, so it is left out.\n`);
    }
  }
}

function decoded(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const got = 'bytes that are none. Convert it, or leave it out.';
    throw new PerformerError('DATA', `read ${file}: expected text in utf-8, got ${got}`, { cause });
  }
}

/** The chunks of each text, with their places in it. */
export async function* chunksOf(
  texts: AsyncIterable<PlacedText<string>>,
  cut: (text: string) => readonly Chunk[],
): AsyncGenerator<PlacedText<string>> {
  for await (const { text: whole, ...place } of texts) {
    let [line, read] = [1, 0];
    for (const { start, end, text } of cut(whole)) {
      line += whole.slice(read, start).split('\n').length - 1;
      read = start;
      yield { file: place.file, line: place.line ?? line, start, end, text };
    }
  }
}

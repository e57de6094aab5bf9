/** JSON lines: files with an object as JSON in each line. */
import { PerformerError } from '../base/errors.js';
import { openRegularFile } from './node-read.js';
import { decodedText } from './node-text.js';

/** A line of a file. */
export interface TextLine {
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

/** The lines of a file that are not empty. Throws DATA where it cannot be read, or is not in utf-8. */
export async function* linesOf(path: string): AsyncGenerator<TextLine> {
  const { file } = await openRegularFile('DATA', `read ${path}`, path);
  await file.close();
  yield* linesIn(path);
}

/** The same of bytes as they come, or of a file that is there; errors name `path`. */
export async function* linesIn(path: string, bytes?: AsyncIterable<Uint8Array>): AsyncGenerator<TextLine> {
  let rest = '';
  let line = 0;
  let isBroken = false;
  const onBroken = () => {
    isBroken = true;
  };
  const pieces = decodedText(path, 'utf-8', onBroken, bytes);
  for await (const piece of pieces) {
    const lines = `${rest}${piece}`.split('\n');
    rest = lines.pop() as string;
    for (const text of lines) {
      line++;
      if (text.trim() !== '') yield { text, line };
    }
    if (isBroken) {
      throw new PerformerError('DATA', `${path}, line ${line + 1}: expected text in utf-8, got bytes that are none.`);
    }
  }
  if (rest.trim() !== '') yield { text: rest, line: line + 1 };
}

/** The object of a line. Throws DATA for a line that holds none. */
export function objectOfLine(path: string, { text, line }: TextLine): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PerformerError('DATA', `${path}, line ${line}: expected JSON, got other text.`, { cause });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  const got = Array.isArray(value) ? 'a list' : JSON.stringify(value);
  throw new PerformerError('DATA', `${path}, line ${line}: expected an object, got ${got}.`);
}

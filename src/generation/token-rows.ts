/** Rows of tokens: what a session is given to read, checked, and as the inputs of a reader. */
import { int32 } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { type Model, tokenConfig } from '../models/index.js';
import type { ReaderForm, ReaderInputs } from './reader.js';
import { nameOfValue } from './value-name.js';

/** One row of tokens, or a list with one for each row. */
export type TokenRows = Int32Array | readonly Int32Array[];

/** The most tokens that a row can hold: learned positions end at maxLength, others where int32 does. */
export function longestRow({ maxLength }: Model): number {
  return maxLength ?? 2 ** 31 - 1;
}

/** Throws SHAPE unless there is such a row among so many. */
export function expectRow(where: string, row: number, rows: number): void {
  if (Number.isInteger(row) && row >= 0 && row < rows) return;
  throw new PerformerError('SHAPE', `${where}: expected a row from 0 to ${rows - 1}, got ${row}.`);
}

/** Tokens as a list with one row or more. Throws DTYPE for anything else. */
export function rowsOf(where: string, tokens: TokenRows): readonly Int32Array[] {
  const rows: readonly unknown[] = Array.isArray(tokens) ? tokens : [tokens];
  for (const row of rows) expectTokens(where, row);
  return rows as readonly Int32Array[];
}

/** Throws DTYPE unless these are tokens. */
export function expectTokens(where: string, tokens: unknown): asserts tokens is Int32Array {
  if (tokens instanceof Int32Array) return;
  const advice = 'Int32Array.from makes one of numbers or bytes.';
  throw new PerformerError(
    'DTYPE',
    `${where}: expected an Int32Array of tokens for each row, got ${nameOfValue(tokens)}. ${advice}`,
  );
}

/** Throws SHAPE or DATA unless rows that are at `position` [batch] can read these tokens, or sources. */
export function checkRows(where: string, rows: readonly Int32Array[], position: Int32Array, model: Model): void {
  const { vocabularySize } = tokenConfig(model.config);
  const refuse = (code: 'SHAPE' | 'DATA', expected: string, got: number | string, advice = '') => {
    throw new PerformerError(code, `${where}: expected ${expected}, got ${got}.${advice}`);
  };
  if (rows.length !== position.length) refuse('SHAPE', `tokens for each of ${position.length} rows`, rows.length);
  const longest = longestRow(model);
  if (rows.every(({ length }) => length === 0) && position.every((read) => read === 0)) {
    refuse('DATA', 'a token for a row, as none has read anything', 'none');
  }
  rows.forEach((row, index) => {
    const read = position[index] as number;
    const bad = row.find((token) => token < 0 || token >= vocabularySize);
    if (bad !== undefined) refuse('DATA', `tokens from 0 to ${vocabularySize - 1}`, bad);
    if (read + row.length > longest) {
      const advice = ' Read less, or train with a greater maxLength or with rotary positions.';
      refuse('DATA', `at most ${longest} tokens in a row, its maxLength`, read + row.length, advice);
    }
  });
}

/** The readers of a session alone. */
type RowsForm = Exclude<ReaderForm, 'beside'>;

/** A piece as the inputs of a reader, ragged rows padded, and the form of the reader that it takes. */
export function readerInputs(rows: readonly Int32Array[]): { form: RowsForm; inputs: ReaderInputs } {
  const counts = Int32Array.from(rows, ({ length }) => length);
  const length = Math.max(...counts);
  const padded = new Int32Array(rows.length * length); // [batch, length]
  rows.forEach((row, index) => padded.set(row, index * length));
  const tokens = int32([rows.length, length], padded);
  const lengths = int32([rows.length], counts);
  if (length > 1) return { form: 'piece', inputs: { tokens, lengths } };
  // Where no row is idle, nothing needs to be masked.
  return { form: 'token', inputs: { tokens, lengths: counts.every((count) => count === 1) ? undefined : lengths } };
}

/** How tables are written, as flags say it. */
import { usageError } from './command.js';

/** The delimiter as it was typed, with a word for the tab. */
export function delimiterOf(typed: string): string {
  const delimiter = typed === 'tab' || typed === '\\t' ? '\t' : typed;
  if ([...delimiter].length === 1 && !/["\r\n]/.test(delimiter)) return delimiter;
  throw usageError(`--delimiter: expected one character, or tab, got ${JSON.stringify(typed)}.`);
}

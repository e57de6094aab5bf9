/** How tables are written, as flags say it. */
import { usageError } from './command.js';

/** The delimiter as it was typed, with a word for the tab. */
export function delimiterOf(typed: unknown, fallback: string): string {
  if (typed === undefined) return fallback;
  const delimiter = typed === 'tab' || typed === '\\t' ? '\t' : (typed as string);
  if ([...delimiter].length === 1 && !/["\r\n]/.test(delimiter)) return delimiter;
  throw usageError(`--delimiter: expected one character, or tab, got ${JSON.stringify(typed)}.`);
}

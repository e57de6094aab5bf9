/** Patterns such as `*.txt` in lists of files, for shells that hand them on as they are. */
import { stat } from 'node:fs/promises';
import { PerformerError } from '../base/errors.js';

/**
 * An argument with the patterns of a list of files replaced by the files that match, in the order of their names. A file
 * that exists by the very name wins. Throws DATA for a pattern that matches none.
 */
export async function expandFiles(argument: string | readonly string[]): Promise<string | readonly string[]> {
  if (argument === undefined || typeof argument === 'string') return argument;
  return (await Promise.all(argument.map(filesOf))).flat();
}

async function filesOf(word: string): Promise<readonly string[]> {
  const { glob, isDynamicPattern } = await import('tinyglobby');
  const pattern = process.platform === 'win32' ? word.replaceAll('\\', '/') : word;
  if (!isDynamicPattern(pattern) || (await stat(word).catch(() => undefined)) !== undefined) return [word];
  const files = await glob(pattern, { expandDirectories: false });
  if (files.length > 0) return files.sort();
  throw new PerformerError('DATA', `${word}: expected files that match this pattern, got none. Check the path.`);
}

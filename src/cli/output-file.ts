/** Files that a command writes when its work is done. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PerformerError } from '../base/errors.js';

/** Throws DATA before the work begins where the folder of the file is missing or must not be written to. */
export async function expectWritable(flag: string, path: string): Promise<void> {
  const folder = dirname(path);
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    const got = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'none' : 'one that must not be written to';
    throw new PerformerError('DATA', `${flag}: expected the folder ${folder} for ${path}, got ${got}.`, { cause });
  }
}

/** The folder of a run, or of a comparison. */
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PerformerError } from '../base/errors.js';
import { namesIn } from '../interop/node-folders.js';

/** Makes the folder where needed. Throws DATA where it cannot be made. */
export async function makeFolder(out: string): Promise<void> {
  await mkdir(out, { recursive: true }).catch((cause: unknown) => {
    const got = messageOf(cause);
    throw new PerformerError('DATA', `--out ${out}: expected a folder to write to, got ${got}.`, { cause });
  });
}

/** Whether there is a run to go on with: a whole checkpoint, or the model of one. */
export async function holdsRun(folder: string): Promise<boolean> {
  const checkpoints = await namesIn(join(folder, 'checkpoints'));
  const config = await stat(join(folder, 'config.json')).catch(() => undefined);
  return config !== undefined || checkpoints.some((name) => name.startsWith('step-'));
}

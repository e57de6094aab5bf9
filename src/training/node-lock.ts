/** One training at a time in a folder. */
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PerformerError } from '../base/errors.js';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Takes the lock of a folder and returns how to give it back. A lock whose process is gone is taken over.
 *
 * @throws CHECKPOINT when another process trains there.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'training.lock');
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(`${process.pid}\n`);
      await file.close();
      return () => rm(path, { force: true });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new PerformerError('CHECKPOINT', `${folder}: expected to lock the folder, got ${messageOf(cause)}.`, {
          cause,
        });
      }
      const owner = Number.parseInt(await readFile(path, 'utf8').catch(() => ''), 10);
      if (Number.isInteger(owner) && isAlive(owner)) {
        throw new PerformerError(
          'CHECKPOINT',
          `${folder}: expected no other training there, got process ${owner}. Wait for it, or choose another folder.`,
        );
      }
      await rm(path, { force: true });
    }
  }
  throw new PerformerError('CHECKPOINT', `${folder}: expected to lock the folder, got another training just starting.`);
}

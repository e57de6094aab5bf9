/** What the commands add to the folder of a run, or of a comparison. */

import { PerformerError } from '../base/errors.js';
import { CheckpointFolder } from '../training/node.js';
import { expectUntaken } from '../training/node-run-folder.js';
import { usageError } from './command.js';
import { readRunNote } from './corpus.js';

/** Throws CHECKPOINT where one of these files, or another than ours at `run.json`, would be overwritten. */
export async function expectOurs(out: string, names: readonly string[]): Promise<void> {
  await expectUntaken(out, names);
  await readRunNote(out).catch(() => expectUntaken(out, ['run.json']));
}

/** Locks the folder of a new run. Throws USAGE where it holds one already, CHECKPOINT where it cannot be written. */
export async function beginRun(out: string): Promise<CheckpointFolder> {
  return CheckpointFolder.open(out).catch((cause: unknown) => {
    if (!(cause instanceof PerformerError) || cause.code !== 'USAGE') throw cause;
    throw usageError(
      `--out ${out}: expected a folder without a run, got one that holds a run already. ` +
        'Add --resume to go on with it, or choose another folder.',
      { cause },
    );
  });
}

/** What lies in the folder of a run: its checkpoints, and what is not its own. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { namesIn } from '../interop/node-folders.js';

const stepName = /^step-(\d{8,})$/;

/** Whether a name is that of a checkpoint. */
export function isCheckpointName(name: string): boolean {
  return stepName.test(name);
}

export interface SavedCheckpoint {
  readonly step: number;
  /** Where it is, or will be when its folder is opened: see `locateFolder`. */
  readonly place: string;
}

/** Where the checkpoint of a step is. */
export function placeOf(folder: string, step: number): string {
  return join(folder, 'checkpoints', `step-${String(step).padStart(8, '0')}`);
}

/** The checkpoints of a run's folder, oldest first. Throws CHECKPOINT where they cannot be listed. */
export async function listCheckpoints(folder: string): Promise<SavedCheckpoint[]> {
  return (await namesIn(join(folder, 'checkpoints')))
    .flatMap((name) => stepName.exec(name)?.[1] ?? [])
    .map((digits) => ({ step: Number(digits), place: placeOf(folder, Number(digits)) }))
    .sort((a, b) => a.step - b.step);
}

/** Whether there is a run to go on with. Throws CHECKPOINT where that cannot be told. */
export async function holdsRun(folder: string): Promise<boolean> {
  return (await listCheckpoints(folder)).length > 0;
}

/** Throws CHECKPOINT where one of these names is taken, but for a file that is empty: a new run would overwrite it. */
export async function expectUntaken(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const found = await lstat(join(folder, name)).catch(() => undefined);
    if (found === undefined || (found.isFile() && found.size === 0)) continue;
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder without ${name}, which the run would overwrite, got one that has it. ` +
        'Move it away, or choose another folder.',
    );
  }
}

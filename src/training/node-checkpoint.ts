/**
 * The checkpoints of a run. Its folder is a model folder as Hugging Face has it, holding the best model so far, with
 *
 *   config.json, tokenizer.json, generation_config.json, model.safetensors    the best model so far
 *   checkpoints/step-00000500/   the same files for one step, training.json and training.safetensors
 *   training.lock                who trains there
 *
 * A checkpoint is written beside its place and renamed, so that what has its name is whole. A process that is killed at any
 * moment leaves a newest checkpoint; what else it leaves, the next `open` or `resume` brings in order.
 */
import { copyFile, link, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { reasonOf } from '../data/node-read.js';
import { draftOf, removeDrafts } from '../interop/node-files.js';
import {
  discardFolder,
  folderError,
  makeFolder,
  recoverFolder,
  removeLeftovers,
  writeFolder,
} from '../interop/node-folders.js';
import { modelFiles } from '../models/index.js';
import { type FolderLock, lockFolder } from './node-lock.js';
import { expectUntaken, holdsRun, isCheckpointName, listCheckpoints, placeOf } from './node-run-folder.js';
import { loadLatestSnapshot, writeSnapshot } from './node-snapshot.js';
import type { CheckpointStore } from './run.js';
import type { Snapshot } from './snapshot.js';

/** One line about a save that failed, in place of what the system said of a file that only the save knows. */
function saveError(place: string, cause: unknown, rest: string): PerformerError {
  const reason = reasonOf(cause instanceof PerformerError ? (cause.cause ?? cause) : cause);
  const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(reason);
  const told = isFull ? `room on the disk, got ${reason}. Free some space.` : `to write a checkpoint, got ${reason}.`;
  return new PerformerError('CHECKPOINT', `save ${place}: expected ${told} ${rest}`, { cause });
}

/** Whether two paths lead to one file, as links do. */
async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([a, b].map((path) => stat(path, { bigint: true }).catch(() => undefined)));
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

/** What is done in a locked folder. Where it fails, the lock is given back. */
async function locked<R>(folder: string, work: (lock: FolderLock) => Promise<R>): Promise<R> {
  const lock = await lockFolder(folder);
  try {
    return await work(lock);
  } catch (cause) {
    await lock.release();
    throw cause;
  }
}

/**
 * The checkpoints of a run, kept to the last few (`training.keep`) and the best. Its folder is locked for one training at a
 * time, of this process or another, until `close`.
 */
export class CheckpointFolder implements CheckpointStore {
  #isOpen = true;

  private constructor(
    private readonly folder: string,
    private readonly lock: FolderLock,
  ) {}

  /**
   * Makes and locks the folder of a new run.
   *
   * @throws USAGE where it holds a run already: go on with that by `resume`, or choose another folder. CHECKPOINT where
   *   another training holds it, where it cannot be written to, or where a file there would be overwritten.
   */
  static async open(folder: string): Promise<CheckpointFolder> {
    await makeFolder(folder).catch((cause: unknown) => {
      throw folderError(folder, cause);
    });
    return locked(folder, async (lock) => {
      if (await holdsRun(folder)) {
        throw new PerformerError(
          'USAGE',
          `${folder}: expected a folder without a run, got one that holds a run already. ` +
            'Go on with it by CheckpointFolder.resume, or choose another folder.',
        );
      }
      await expectUntaken(folder, modelFiles);
      await makeFolder(join(folder, 'checkpoints')).catch((cause: unknown) => {
        throw folderError(join(folder, 'checkpoints'), cause);
      });
      await clearDrafts(folder);
      return new CheckpointFolder(folder, lock);
    });
  }

  /**
   * Locks the folder of a run, brings in order what a killed process left there, and reads the newest checkpoint: what is
   * half written goes, so do checkpoints beyond those to keep, and the model of the folder is again the best.
   *
   * @throws CHECKPOINT where there is no run, where another training holds it, or where its newest checkpoint is not whole
   *   and as it was saved.
   */
  static async resume(folder: string): Promise<{ readonly store: CheckpointFolder; readonly snapshot: Snapshot }> {
    if (!(await holdsRun(folder))) {
      throw new PerformerError('CHECKPOINT', `${folder}: expected a run to resume, got a folder without checkpoints.`);
    }
    return locked(folder, async (lock) => {
      for (const { place } of await listCheckpoints(folder)) await recoverFolder(place);
      await clearDrafts(folder);
      const snapshot = await loadLatestSnapshot(folder);
      const store = new CheckpointFolder(folder, lock);
      await store.#publish(placeOf(folder, snapshot.best?.step ?? snapshot.step));
      await store.#prune(snapshot);
      return { store, snapshot };
    });
  }

  async save(snapshot: Snapshot): Promise<string> {
    const { step, best } = snapshot;
    const place = placeOf(this.folder, step);
    await this.#expectOurs(place);
    try {
      await writeFolder(place, (draft) => writeSnapshot(draft, snapshot));
    } catch (cause) {
      throw saveError(place, cause, 'Earlier checkpoints are untouched.');
    }
    const rest = `The checkpoint ${place} is whole.`;
    try {
      if (best === undefined || best.step === step) await this.#publish(place);
      await this.#prune(snapshot);
    } catch (cause) {
      throw saveError(this.folder, cause, rest);
    }
    return place;
  }

  /** Gives the folder back to others. Nothing can be saved afterwards. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.lock.release();
  }

  /** Throws where the folder is closed, or where its path no longer leads to it: nothing must be made in its place. */
  async #expectOurs(place: string): Promise<void> {
    if (!this.#isOpen) {
      throw new PerformerError('USAGE', `save ${place}: expected an open folder, got one that was closed.`);
    }
    if (await this.lock.isHeld()) return;
    throw new PerformerError(
      'CHECKPOINT',
      `save ${place}: expected the folder that this run has locked, got none or another: it was removed, renamed or ` +
        'unlocked while the run trained. Nothing was saved there. Put it back and resume, or begin anew.',
    );
  }

  /** Makes the model of a checkpoint the one of the run's folder, where it is not yet. */
  async #publish(place: string): Promise<void> {
    for (const name of modelFiles) {
      const [source, path] = [join(place, name), join(this.folder, name)];
      const isThere = (await stat(source).catch(() => undefined)) !== undefined; // some models have no tokenizer
      if (!isThere || (await isSameFile(source, path))) continue;
      const draft = draftOf(path);
      try {
        await rm(draft, { force: true });
        await link(source, draft).catch(() => copyFile(source, draft));
        await rename(draft, path);
      } finally {
        await rm(draft, { force: true }).catch(() => undefined);
      }
    }
  }

  async #prune({ best, training }: Snapshot): Promise<void> {
    const checkpoints = (await listCheckpoints(this.folder)).filter(({ step }) => step !== best?.step);
    for (const { place } of checkpoints.slice(0, -training.keep)) await discardFolder(place);
  }
}

/** Removes what killed processes left half written, and nothing that is not of this form. */
async function clearDrafts(folder: string): Promise<void> {
  await removeLeftovers(join(folder, 'checkpoints'), isCheckpointName);
  for (const name of modelFiles) await removeDrafts(join(folder, name));
}

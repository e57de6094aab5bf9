/** A model for a command, which tells what is to be known of its files. */
import type { LoadedModel } from '../models/index.js';
import { loadModelFiles } from '../models/node.js';
import type { Io } from './io.js';

export async function readModel(folder: string, io: Io): Promise<LoadedModel> {
  return (await readModelFiles(folder, io)).model;
}

/** A model, and the SHA-256 of the file of its weights. */
export function readModelFiles(folder: string, io: Io): Promise<{ model: LoadedModel; digest: string }> {
  return loadModelFiles(folder, { onNote: (note) => void io.stderr.write(`${note}\n`) });
}

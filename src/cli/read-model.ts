/** A model for a command, which tells what is to be known of its files. */
import type { LoadedModel } from '../models/index.js';
import { loadModel } from '../models/node.js';
import type { Io } from './io.js';

export function readModel(folder: string, io: Io): Promise<LoadedModel> {
  return loadModel(folder, { onNote: (note) => void io.stderr.write(`${note}\n`) });
}

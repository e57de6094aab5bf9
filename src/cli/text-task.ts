/** The task of a run over a text: its model learns from the beginning, and is measured on the end that is held out. */
import { type ByteSource, splitCorpus } from '../data/index.js';
import { modelOf } from '../models/index.js';
import { type Task, type TextData, taskOfModel } from '../tasks/index.js';
import type { Snapshot } from '../training/index.js';

export interface TextTask extends TextData {
  readonly task: Task;
}

export function textTask({ model, training }: Pick<Snapshot, 'model' | 'training'>, text: ByteSource): TextTask {
  const data = splitCorpus(text, training.heldOut, training.window);
  const built = modelOf(model, training);
  return { ...data, task: taskOfModel(built).build(built, training, data) };
}

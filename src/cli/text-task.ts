/** The task of a run over a text: its model learns from the beginning, and is measured on the end that is held out. */
import { PerformerError } from '../base/errors.js';
import { type ByteSource, splitCorpus } from '../data/index.js';
import { type Model, modelOf, tokenizerOf } from '../models/index.js';
import { type Task, type TextData, type TextTaskFamily, taskOfModel } from '../tasks/index.js';
import type { Snapshot } from '../training/index.js';

/** The task on running text that a model is trained by. Throws CONFIG where it learns from labelled texts. */
export function textTaskOfModel(model: Model): TextTaskFamily {
  const family = taskOfModel(model);
  if (family.data === 'text') return family;
  throw new PerformerError('CONFIG', `${family.name}: expected a model that learns from running text, got another.`);
}

export interface TextTask extends TextData {
  readonly task: Task;
}

export async function textTask(
  { model, training }: Pick<Snapshot, 'model' | 'training'>,
  text: ByteSource,
): Promise<TextTask> {
  const data = await splitCorpus(text, tokenizerOf(model), training);
  const built = modelOf(model, training);
  return { ...data, task: textTaskOfModel(built).build(built, training, data) };
}

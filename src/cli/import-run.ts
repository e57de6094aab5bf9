/** `performer import` at work. */
import { stat } from 'node:fs/promises';
import { parameterCount } from '../base/layout.js';
import { folderError, writeFolder } from '../interop/node-folders.js';
import { attentionKinds } from '../models/index.js';
import { writeModel } from '../models/node.js';
import { type Given, usageError } from './command.js';
import type { ImportOptions } from './import.js';
import type { Io } from './io.js';
import { readModel } from './read-model.js';

export async function runImport(
  { arguments: [folder], options: { out } }: Given<ImportOptions>,
  io: Io,
): Promise<void> {
  const isThere = await stat(out).then(
    () => true,
    () => false,
  );
  if (isThere) throw usageError(`--out: expected a folder that does not exist, got ${out}. Name another.`);
  const { model, ...weights } = await readModel(folder as string, io);
  await writeFolder(out, async (draft) => {
    await writeModel(draft, model.config, weights);
  }).catch((cause: unknown) => {
    throw folderError(out, cause);
  });
  const { config } = model;
  const count = parameterCount(weights.params).toLocaleString('en-US');
  io.stdout.write(`${out}: ${config.model}, ${count} parameters, attention ${attentionKinds(config)}\n`);
}

/** `performer import` at work. */
import { join } from 'node:path';
import { parameterCount } from '../base/layout.js';
import { readJson } from '../interop/node.js';
import { isThere } from '../interop/node-files.js';
import { folderError, writeFolder } from '../interop/node-folders.js';
import { attentionKinds, generationFile } from '../models/index.js';
import { writeJson, writeModel } from '../models/node.js';
import { type Given, usageError } from './command.js';
import type { ImportOptions } from './import.js';
import type { Io } from './io.js';
import { readModel } from './read-model.js';

export async function runImport(
  { arguments: [folder], options: { out } }: Given<ImportOptions>,
  io: Io,
): Promise<void> {
  if (await isThere(out)) throw usageError(`--out: expected a folder that does not exist, got ${out}. Name another.`);
  const { model, ...weights } = await readModel(folder as string, io);
  await writeFolder(out, async (draft) => {
    await writeModel(draft, model.config, weights);
    const settings = join(folder as string, generationFile);
    if (await isThere(settings)) {
      const { endTokens } = model.config;
      const ends = endTokens && { eos_token_id: endTokens };
      await writeJson(join(draft, generationFile), { ...((await readJson(settings)) as object), ...ends });
    }
  }).catch((cause: unknown) => {
    throw folderError(out, cause);
  });
  const { config } = model;
  const count = parameterCount(weights.params).toLocaleString('en-US');
  io.stdout.write(`${out}: ${config.model}, ${count} parameters, attention ${attentionKinds(config)}\n`);
}

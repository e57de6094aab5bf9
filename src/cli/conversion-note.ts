/** What a conversion began with, noted in `conversion.json` of its folder: so that it goes on with the same. */
import { join } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { isThere } from '../interop/node-files.js';

const noteName = 'conversion.json';

const noteSchema = z.strictObject({
  version: z.literal(1),
  /** The folder of the model whose attention is replaced, and the SHA-256 of its weights. */
  teacher: z.string(),
  digest: z.string(),
  model: z.looseObject({}),
  training: z.looseObject({}),
  transferSteps: z.int().min(0),
});
export type ConversionNote = z.output<typeof noteSchema>;

/** Whether a folder has a conversion. */
export function isConversion(folder: string): Promise<boolean> {
  return isThere(join(folder, noteName));
}

/** Notes what a conversion begins with. */
export async function noteConversion(folder: string, note: ConversionNote): Promise<void> {
  await writeFileAtomic(join(folder, noteName), [`${JSON.stringify(note, undefined, 1)}\n`]);
}

/** What a conversion began with; undefined where a folder has none. Throws CHECKPOINT for a note that is not whole. */
export async function readConversion(folder: string): Promise<ConversionNote | undefined> {
  if (!(await isConversion(folder))) return undefined;
  const path = join(folder, noteName);
  const parsed = noteSchema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  const problems = describeIssues(parsed.error);
  throw new PerformerError('CHECKPOINT', `${path}: expected the note of a conversion of version 1, got ${problems}.`);
}

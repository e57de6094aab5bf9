/** The text of a run, noted in `run.json` of its folder: so that it goes on with the text that it began with. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import type { ByteSource } from '../data/index.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { removeDrafts } from '../interop/node-files.js';
import { describeIssues } from '../models/index.js';

const noteSchema = z.strictObject({
  version: z.literal(1),
  /** Absolute paths. */
  files: z.array(z.string()).min(1),
  bytes: z.int().min(1),
  /** Of 64 samples of the text. */
  digest: z.string(),
  /** Tokens of a window in training. */
  window: z.int().min(1),
});

export type RunNote = z.output<typeof noteSchema>;

const samples = 64;
const sampleBytes = 4096;

/** SHA-256 of evenly spaced samples and the length: a text of any size is looked at in no time. */
async function digestOf(source: ByteSource): Promise<string> {
  const hash = createHash('sha256').update(String(source.length));
  const length = Math.min(sampleBytes, source.length);
  for (let index = 0; index < samples; index++) {
    const offset = Math.floor(((source.length - length) * index) / (samples - 1));
    hash.update(await source.read(offset, length));
  }
  return hash.digest('hex');
}

/** Notes the text of a new run, in a folder that is locked. */
export async function noteRun(
  folder: string,
  files: readonly string[],
  text: ByteSource,
  window: number,
): Promise<void> {
  const paths = files.map((file) => resolve(file));
  const note: RunNote = { version: 1, files: paths, bytes: text.length, digest: await digestOf(text), window };
  const path = join(folder, 'run.json');
  await removeDrafts(path);
  await writeFileAtomic(path, [`${JSON.stringify(note, undefined, 2)}\n`]);
}

/** What a run noted; undefined where it noted nothing, as runs of the library do. Throws CHECKPOINT when it is not whole. */
export async function readRunNote(folder: string): Promise<RunNote | undefined> {
  const path = join(folder, 'run.json');
  if ((await stat(path).catch(() => undefined)) === undefined) return undefined;
  const parsed = noteSchema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  const problems = describeIssues(parsed.error);
  throw new PerformerError('CHECKPOINT', `${path}: expected the note of a run of version 1, got ${problems}.`);
}

/** Tokens of a window in the training of a model, or of the run whose checkpoint it is; undefined where none is noted. */
export async function trainingWindow(folder: string): Promise<number | undefined> {
  const place = resolve(folder);
  const run = basename(dirname(place)) === 'checkpoints' ? dirname(dirname(place)) : place;
  return (await readRunNote(run))?.window;
}

/** Throws DATA unless the text is that with which the run began. */
export async function checkText(folder: string, { bytes, digest }: RunNote, text: ByteSource): Promise<void> {
  const isSame = text.length === bytes && (await digestOf(text)) === digest;
  if (isSame) return;
  const got = text.length === bytes ? 'as many others' : `${text.length}`;
  throw new PerformerError(
    'DATA',
    `${folder}: expected the ${bytes} bytes of text with which the run began, got ${got}. ` +
      'Give the same files, or begin a new run in another folder.',
  );
}

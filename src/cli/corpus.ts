/** The text of a run, noted in `run.json` of its folder: so that it goes on with the text that it began with. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../base/options.js';
import type { ByteSource } from '../data/index.js';
import { readJson, writeFileAtomic } from '../interop/node.js';
import { removeDrafts } from '../interop/node-files.js';
import { type LabelledFlags, labelledSchema } from './labelled-flags.js';

/** A file as its folder tells of it: any write to it changes one of these. */
const stampSchema = z.strictObject({
  bytes: z.int().min(0),
  /** ISO 8601. */
  written: z.string(),
  /** When anything of it last changed, its name and its owner among it; ISO 8601. */
  changed: z.string(),
  inode: z.string(),
});

const noteSchema = z.strictObject({
  /** 1 has neither whole digests nor stamps. */
  version: z.literal([1, 2]),
  /** Absolute paths. */
  files: z.array(z.string()).min(1),
  bytes: z.int().min(1),
  /** Of 64 samples of the text. */
  digest: z.string(),
  /** SHA-256 of the whole text, where it is no longer than `longestDigested`. */
  wholeDigest: z.string().optional(),
  /** One for each file. */
  stamps: z.array(stampSchema).optional(),
  /** Tokens of a window in training. */
  window: z.int().min(1),
  /** Where labelled texts stand in the files. */
  labelled: labelledSchema.optional(),
});

export type RunNote = z.output<typeof noteSchema>;
type Stamp = z.output<typeof stampSchema>;

const samples = 64;
const sampleBytes = 4096;
/** A text of so many bytes is digested whole, within a second. */
export const longestDigested = 2 ** 28;
const pieceBytes = 2 ** 22;

/** SHA-256 of evenly spaced samples and the length: a text of any size is looked at in no time. */
async function sampledDigest(source: ByteSource): Promise<string> {
  const hash = createHash('sha256').update(String(source.length));
  const length = Math.min(sampleBytes, source.length);
  for (let index = 0; index < samples; index++) {
    const offset = Math.floor(((source.length - length) * index) / (samples - 1));
    hash.update(await source.read(offset, length));
  }
  return hash.digest('hex');
}

async function wholeDigest(source: ByteSource): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < source.length; offset += pieceBytes) {
    hash.update(await source.read(offset, Math.min(pieceBytes, source.length - offset)));
  }
  return hash.digest('hex');
}

async function stampOf(path: string): Promise<Stamp> {
  const { size, mtime, ctime, ino } = await stat(path, { bigint: true });
  return { bytes: Number(size), written: mtime.toISOString(), changed: ctime.toISOString(), inode: String(ino) };
}

/** Notes the text of a new run, in a folder that is locked. A text longer than `limit` is not digested whole. */
export async function noteRun(
  folder: string,
  files: readonly string[],
  text: ByteSource,
  window: number,
  limit = longestDigested,
  labelled?: LabelledFlags,
): Promise<void> {
  const paths = files.map((file) => resolve(file));
  const note: RunNote = {
    version: 2,
    files: paths,
    bytes: text.length,
    digest: await sampledDigest(text),
    wholeDigest: text.length <= limit ? await wholeDigest(text) : undefined,
    stamps: await Promise.all(paths.map(stampOf)),
    window,
    labelled,
  };
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
  throw new PerformerError('CHECKPOINT', `${path}: expected the note of a run of version 1 or 2, got ${problems}.`);
}

/** Tokens of a window in the training of a model, or of the run whose checkpoint it is; undefined where none is noted. */
export async function trainingWindow(folder: string): Promise<number | undefined> {
  const place = resolve(folder);
  const run = basename(dirname(place)) === 'checkpoints' ? dirname(dirname(place)) : place;
  return (await readRunNote(run))?.window;
}

/**
 * Throws DATA unless the text of these files is that with which the run began. A text that was too long to be digested
 * whole may have been changed between its samples: where its files are not as they were, a line that says so is returned.
 */
export async function checkText(
  folder: string,
  note: RunNote,
  files: readonly string[],
  text: ByteSource,
): Promise<string | undefined> {
  const changes = await changesOf(note, files);
  const isSame =
    text.length === note.bytes &&
    (note.wholeDigest === undefined
      ? (await sampledDigest(text)) === note.digest
      : (await wholeDigest(text)) === note.wholeDigest);
  if (isSame) {
    if (note.wholeDigest !== undefined || changes === '') return undefined;
    return `the text is as long as when the run began, and samples of it are equal, but ${changes}`;
  }
  const got = text.length === note.bytes ? 'as many others' : `${text.length}`;
  throw new PerformerError(
    'DATA',
    `${folder}: expected the ${note.bytes} bytes of text with which the run began, got ${got}` +
      `${changes === '' ? '' : ` (${changes})`}. Give the same files, or begin a new run in another folder.`,
  );
}

/** How the files differ from those that were noted, as far as their folders tell. */
async function changesOf({ files: noted, stamps }: RunNote, files: readonly string[]): Promise<string> {
  if (stamps === undefined) return '';
  if (files.length !== noted.length) return `${noted.length} files then, ${files.length} now`;
  const told = await Promise.all(
    files.map(async (path, index) => {
      const then = stamps[index];
      const now = await stampOf(path);
      if (then === undefined) return [];
      if (then.bytes !== now.bytes) return `${path} had ${then.bytes} bytes and has ${now.bytes}`;
      if (then.written !== now.written)
        return `${path} was last written to at ${then.written} and is now of ${now.written}`;
      if (then.inode !== now.inode) return `${path} is another file than then, a copy perhaps`;
      return then.changed === now.changed
        ? []
        : `${path} was changed at ${now.changed}, be it but its name or its owner`;
    }),
  );
  return told.flat().join('; ');
}

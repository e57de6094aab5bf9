/** The text of a run, compared with what the run noted when it began. */
import { open, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkText, noteRun, type RunNote, readRunNote } from '../../src/cli/corpus.js';
import { openFiles } from '../../src/data/node.js';
import { performer, small, temporaryFolder, textFile } from './support.js';

/** Changes one byte of a file in place, between the samples of a text of 64 times 16 KB. */
async function changeByte(path: string, at = 8000): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.from('#'), 0, 1, at);
  await file.close();
}

test('a byte that is changed in place keeps a run from going on, and the file is named', async () => {
  const folder = await temporaryFolder();
  const text = await textFile(folder, 'text.txt', 20_000);
  const out = join(folder, 'run');
  const words = [...small, '--held-out', '0.0001', '--steps', '2'];
  expect(await performer(['train', text, '--out', out, ...words])).toMatchObject({ code: 0 });
  await changeByte(text);
  const { code, err } = await performer(['train', '--out', out, '--resume', '--steps', '3']);
  expect(err).toMatch(
    /bytes of text with which the run began, got as many others \(.*text\.txt was last written to at /,
  );
  expect(code).toBe(1);
});

async function noted(limit?: number) {
  const folder = await temporaryFolder();
  const path = await textFile(folder, 'text.txt', 20_000);
  await utimes(path, 2, 2); // the clock of a file moves in steps, within which a later write would not be seen
  const text = await openFiles([path]);
  await noteRun(folder, [path], text, 16, limit);
  const note = (await readRunNote(folder)) as RunNote;
  const check = () => checkText(folder, note, [path], text).finally(() => text.close());
  return { path, note, check };
}

test('a text too long to be compared whole is told of when its file was written to', async () => {
  const { path, note, check } = await noted(1000);
  expect(note.wholeDigest).toBeUndefined();
  await changeByte(path);
  expect(await check()).toMatch(
    /samples of it are equal, but .*text\.txt was last written to at .*Z and is now of .*Z$/,
  );
});

test('a text too long to be compared whole goes on without a word where its file is as it was', async () => {
  const { check } = await noted(1000);
  expect(await check()).toBeUndefined();
});

test('a text that is compared whole may have been copied or touched', async () => {
  const { path, check } = await noted();
  await utimes(path, 1, 1);
  expect(await check()).toBeUndefined();
});

test('a note of the first version is still read', async () => {
  const { path, note, check } = await noted();
  const { wholeDigest, stamps, ...first } = note;
  const run = join(path, '..');
  await writeFile(join(run, 'run.json'), JSON.stringify({ ...first, version: 1 }));
  expect(await readRunNote(run)).toEqual({ ...first, version: 1 });
  await check();
});

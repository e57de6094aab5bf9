/**
 * Folders that are replaced whole, in Node. No system renames a folder over another, so the old one waits beside its place
 * as `.<name>.replaced` until the new one has the name: whoever is killed in between leaves it there to be found.
 */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

function asideOf(place: string): string {
  const path = resolve(place);
  return join(dirname(path), `.${basename(path)}.replaced`);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function ignoreMissing(cause: NodeJS.ErrnoException): void {
  if (cause.code !== 'ENOENT') throw cause;
}

/** The names in a directory, that of a folder which was put aside among them; none where there is no directory. */
export async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return [...new Set(names.map((name) => /^\.(.+)\.replaced$/.exec(name)?.[1] ?? name))];
}

/** Where a folder is to be read: at its place or, while nothing has the name, beside it. */
export async function locateFolder(place: string): Promise<string> {
  const aside = asideOf(place);
  return !(await exists(place)) && (await exists(aside)) ? aside : place;
}

/** Ends a replacement whose process was killed: the old folder gets its name back unless the new one has it. */
export async function recoverFolder(place: string): Promise<void> {
  const aside = asideOf(place);
  if (await exists(place)) await rm(aside, { recursive: true, force: true });
  else await rename(aside, place).catch(ignoreMissing);
}

/** Gives a whole folder the name of another, which is removed, or of none. One process at a time. */
export async function replaceFolder(draft: string, place: string): Promise<void> {
  await recoverFolder(place);
  const aside = asideOf(place);
  await rename(place, aside).catch(ignoreMissing);
  await rename(draft, place).catch(async (cause: unknown) => {
    await recoverFolder(place);
    throw cause;
  });
  await rm(aside, { recursive: true, force: true });
}

/**
 * Labelled texts on disk, for Node: a table (CSV or TSV) with a column of texts, JSON lines with a key of texts, or a
 * folder with a folder for each class. Tables and lines are kept in memory; files of folders are read when they are needed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { expectIndex, type GivenText, type LabelledTexts, labelledTexts, type Target } from './labelled.js';
import { openRegularFile, readError } from './node-read.js';
import { jsonOf, type RecordOptions, recordFormatOf, recordsOf, textOfRecord } from './node-records.js';

/** The columns of a table, or the keys of JSON lines. */
export interface LabelledColumns {
  /** That of the text; `text` unless given. */
  readonly text?: string | undefined;
  /** That of the class or of the labels, or those of the values; `label` unless given. */
  readonly label?: string | readonly string[] | undefined;
  /** Whether a text has the name of a class, as unless given, any number of labels, or numbers. */
  readonly kind?: 'classes' | 'labels' | 'values' | undefined;
  /** What stands between the labels of a text in a column of a table; `;` unless given. JSON lines have lists. */
  readonly separator?: string | undefined;
}

export interface LabelledFileOptions extends LabelledColumns, RecordOptions {}

/**
 * The rows of a table with a header, or the lines of JSON lines, as the name of the file tells.
 *
 * @throws DATA for a file that cannot be read or holds no text, for columns that it does not have, and, with its line, for
 *   what is no record, has no text, or whose label is none.
 */
export async function readLabelledFile(
  path: string,
  { text: name = 'text', label = 'label', kind = 'classes', separator = ';', ...options }: LabelledFileOptions = {},
): Promise<LabelledTexts> {
  const labels = typeof label === 'string' ? [label] : label;
  const given: GivenText[] = [];
  for await (const record of recordsOf(path, [name, ...labels], options)) {
    const values = record.values.slice(1);
    const where = `${path}, line ${record.line}`;
    const targetOf = (): Target => {
      if (kind === 'values') return values.map((value, index) => numberOf(where, labels[index] as string, value));
      const own = labels[0] as string;
      if (kind === 'classes') return nameIn(where, 'a class', own, values[0]);
      const each = recordFormatOf(path) === 'lines' ? values[0] : cellItems(values[0] as string, separator);
      return labelsOf(where, own, each);
    };
    given.push({ text: textOfRecord(path, name, record), target: targetOf() });
  }
  if (given.length === 0) throw new PerformerError('DATA', `read ${path}: expected labelled texts, got none.`);
  return labelledTexts(given, path);
}

/** The name of a class or a label; spaces around it are no part of it. */
function nameIn(where: string, expected: 'a class' | 'a label', name: string, label: unknown): string {
  const told = typeof label === 'object' ? '' : String(label ?? '').trim();
  if (told !== '') return told;
  throw new PerformerError('DATA', `${where}: expected ${expected} as ${name}, got ${jsonOf(label)}.`);
}

/** What stands in a cell of a table between separators; nothing in an empty cell. */
function cellItems(cell: string, separator: string): readonly string[] {
  return cell.trim() === '' ? [] : cell.split(separator);
}

/** The labels of a list. */
function labelsOf(where: string, name: string, given: unknown): readonly string[] {
  if (Array.isArray(given)) return given.map((label: unknown) => nameIn(where, 'a label', name, label));
  const advice = 'A text without labels has an empty list.';
  throw new PerformerError('DATA', `${where}: expected a list of labels as ${name}, got ${jsonOf(given)}. ${advice}`);
}

function numberOf(where: string, name: string, label: unknown): number {
  const value = typeof label === 'string' && label.trim() !== '' ? Number(label) : label;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new PerformerError('DATA', `${where}: expected a number as ${name}, got ${jsonOf(label)}.`);
}

/**
 * A folder with a folder for each class, whose files, however deep they lie, are the texts: in the order of their paths.
 * Names that begin with a dot are passed over.
 *
 * @throws DATA for a folder that cannot be read, without folders, or with a folder without files; when a text is read,
 *   for a file that is gone.
 */
export async function openLabelledFolder(folder: string): Promise<LabelledTexts> {
  const found: { readonly path: string; readonly target: string; readonly size: number }[] = [];
  const classes = (await entriesOf(folder)).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  if (classes.length === 0) {
    throw new PerformerError('DATA', `read ${folder}: expected a folder for each class, got a folder without folders.`);
  }
  for (const target of classes) {
    const paths = await filesBelow(join(folder, target));
    if (paths.length === 0) {
      throw new PerformerError('DATA', `read ${join(folder, target)}: expected files of a class, got none.`);
    }
    for (const path of paths) {
      const { file, size } = await openRegularFile('DATA', `read ${path}`, path);
      await file.close();
      found.push({ path, target, size });
    }
  }
  return {
    length: found.length,
    targets: found.map(({ target }) => target),
    sizes: found.map(({ size }) => size),
    async read(index) {
      expectIndex(folder, index, found.length);
      const { path, target } = found[index] as (typeof found)[number];
      const bytes = await readFile(path).catch((cause: unknown) => {
        throw readError('DATA', `read ${path}`, cause);
      });
      return { bytes, target };
    },
  };
}

async function entriesOf(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw readError('DATA', `read ${folder}`, cause);
  });
  const order = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  return entries.filter(({ name }) => !name.startsWith('.')).sort(order);
}

async function filesBelow(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) paths.push(...(await filesBelow(path)));
    else paths.push(path);
  }
  return paths;
}

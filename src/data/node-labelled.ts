/**
 * Labelled texts on disk, for Node: a table (CSV or TSV) with a column of texts, JSON lines with a key of texts, or a
 * folder with a folder for each class. Tables and lines are kept in memory; files of folders are read when they are needed.
 */
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import type { Encoding } from './encoding.js';
import { expectIndex, type GivenText, type LabelledTexts, labelledTexts, type Target } from './labelled.js';
import { openCsv } from './node-csv.js';
import { openRegularFile, readError } from './node-read.js';
import { decodedText } from './node-text.js';

/** The columns of a table, or the keys of JSON lines. */
export interface LabelledColumns {
  /** That of the text; `text` unless given. */
  readonly text?: string | undefined;
  /** That of the class, or those of the values; `label` unless given. */
  readonly label?: string | readonly string[] | undefined;
  /** Whether labels are names of classes, as unless given, or numbers. */
  readonly kind?: 'classes' | 'values' | undefined;
}

export interface LabelledTableOptions extends LabelledColumns {
  /** One character; a tab for files called .tsv, and otherwise a comma, unless given. */
  readonly delimiter?: string | undefined;
  /** utf-8 unless given. */
  readonly encoding?: Encoding | undefined;
}

/** Where a text stands in its file, for messages. */
interface Place {
  readonly path: string;
  readonly line: number;
}

function dataError({ path, line }: Place, expected: string, got: string, advice = ''): PerformerError {
  return new PerformerError('DATA', `${path}, line ${line}: expected ${expected}, got ${got}.${advice}`);
}

/** What is asked of columns or keys, with defaults. */
function namesOf({ text = 'text', label = 'label', kind = 'classes' }: LabelledColumns) {
  return { text, labels: typeof label === 'string' ? [label] : label, kind };
}

/** The target that labels say. Throws DATA for an empty class, and for what is no number among values. */
function targetOf(
  place: Place,
  labels: readonly unknown[],
  { labels: names, kind }: ReturnType<typeof namesOf>,
): Target {
  if (kind === 'classes') {
    const [label] = labels;
    const name = typeof label === 'string' ? label.trim() : typeof label === 'object' ? '' : String(label ?? '');
    if (name === '') throw dataError(place, `a class as ${names[0]}`, JSON.stringify(label) ?? 'nothing');
    return name;
  }
  return labels.map((label, index) => {
    const value = typeof label === 'string' && label.trim() !== '' ? Number(label) : label;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    throw dataError(place, `a number as ${names[index]}`, JSON.stringify(label) ?? 'nothing');
  });
}

/**
 * The rows of a CSV or TSV file with a header.
 *
 * @throws DATA for a file that cannot be read, for columns that it does not have, and, with its line, for a label that is none.
 */
export async function readLabelledTable(path: string, options: LabelledTableOptions = {}): Promise<LabelledTexts> {
  const names = namesOf(options);
  const { delimiter = extname(path).toLowerCase() === '.tsv' ? '\t' : ',', encoding } = options;
  const table = await openCsv(path, { header: true, delimiter, encoding });
  const indexOf = (name: string) => {
    const index = table.columns.indexOf(name);
    if (index >= 0) return index;
    throw dataError({ path, line: 1 }, `a column ${name}`, `columns ${table.columns.join(', ')}`, ' Name the columns.');
  };
  const text = indexOf(names.text);
  const labels = names.labels.map(indexOf);
  const given: GivenText[] = [];
  for await (const { fields, line } of table.rows()) {
    const own = labels.map((index) => fields[index]);
    given.push({ text: fields[text] as string, target: targetOf({ path, line }, own, names) });
  }
  return labelledTexts(given, path);
}

/**
 * The lines of a file, each an object as JSON; empty lines are passed over.
 *
 * @throws DATA for a file that cannot be read, and, with its line, for one that is no object, without a text, or whose label is none.
 */
export async function readLabelledLines(path: string, options: LabelledColumns = {}): Promise<LabelledTexts> {
  const names = namesOf(options);
  const given: GivenText[] = [];
  for await (const { text: content, line } of linesOf(path)) {
    const place = { path, line };
    const found = objectOf(place, content);
    const text = found[names.text];
    if (typeof text !== 'string') throw dataError(place, `a text as ${names.text}`, JSON.stringify(text) ?? 'nothing');
    const labels = names.labels.map((name) => found[name]);
    given.push({ text, target: targetOf(place, labels, names) });
  }
  if (given.length === 0) throw new PerformerError('DATA', `read ${path}: expected lines of JSON, got an empty file.`);
  return labelledTexts(given, path);
}

function objectOf(place: Place, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PerformerError('DATA', `${place.path}, line ${place.line}: expected JSON, got other text.`, { cause });
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isObject) return value as Readonly<Record<string, unknown>>;
  throw dataError(place, 'an object', Array.isArray(value) ? 'a list' : JSON.stringify(value));
}

/** The lines of a file that are not empty, with their numbers from 1. */
export async function* linesOf(path: string): AsyncGenerator<{ readonly text: string; readonly line: number }> {
  const { file } = await openRegularFile('DATA', `read ${path}`, path);
  await file.close();
  let rest = '';
  let line = 0;
  let isBroken = false;
  const pieces = decodedText(path, 'utf-8', () => {
    isBroken = true;
  });
  for await (const piece of pieces) {
    const lines = `${rest}${piece}`.split('\n');
    rest = lines.pop() as string;
    for (const text of lines) {
      line++;
      if (text.trim() !== '') yield { text, line };
    }
    if (isBroken) throw dataError({ path, line: line + 1 }, 'text in utf-8', 'bytes that are none');
  }
  if (rest.trim() !== '') yield { text: rest, line: line + 1 };
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

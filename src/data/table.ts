/** Tables of text, read row by row as often as they are needed. */

export interface TableRow {
  /** Where it ends in the file, counted from 1. */
  readonly line: number;
  /** As many as the table has columns. */
  readonly fields: readonly string[];
}

/** A table that is read row by row, from its beginning each time. */
export interface Table {
  /** What messages call it. */
  readonly name: string;
  /** The names of the columns, each once. */
  readonly columns: readonly string[];
  /** Those of the columns that have no name of their own, and were given one by their position. */
  readonly unnamed?: readonly string[] | undefined;
  /** All rows, from the first on with each call, in flat memory. Throws DATA where they have changed between two calls. */
  rows(): AsyncIterable<TableRow>;
}

/** Each column costs memory for every row of a batch, and for every row that is kept as a sample. */
export const mostColumns = 2 ** 14;

/** The first of names that stands among them twice. */
export function repeatedName(names: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return names.find((name) => seen.size === seen.add(name).size);
}

/** A delimiter that the only column of a table suggests, as its header has it, in words; nothing for other tables. */
export function delimiterHint(columns: readonly string[]): string {
  const found = columns.length === 1 ? [';', '\t', ',', '|'].find((mark) => columns[0]?.includes(mark)) : undefined;
  if (found === undefined) return '';
  const name = found === '\t' ? 'a tab' : `"${found}"`;
  const word = found === '\t' ? 'tab' : `"${found}"`;
  return ` Its only column is ${JSON.stringify(columns[0]?.slice(0, 40))}, with ${name} in it: is that the delimiter? Say --delimiter ${word}.`;
}

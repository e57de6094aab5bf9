/** Tables of text, read row by row as often as they are needed. */

export interface TableRow {
  /** Where it ends in the file, counted from 1. */
  readonly line: number;
  /** As many as the table has columns. */
  readonly fields: readonly string[];
}

export interface Table {
  /** What messages call it. */
  readonly name: string;
  /** The names of the columns, each once. */
  readonly columns: readonly string[];
  /** All rows, from the first on with each call, in flat memory. */
  rows(): AsyncIterable<TableRow>;
}

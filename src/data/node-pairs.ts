/** Pairs of texts on disk, for Node: a table (CSV or TSV) with two columns, or JSON lines with two keys. */
import { PerformerError } from '../base/errors.js';
import { type RecordOptions, recordsOf, textOfRecord } from './node-records.js';
import type { TextPair } from './pairs.js';

export interface PairColumns extends RecordOptions {
  /** The column or key of the source; `source` unless given. */
  readonly source?: string | undefined;
  /** That of what is to be written; `target` unless given. */
  readonly target?: string | undefined;
}

/** The pairs of a file. Throws DATA for a file that cannot be read or holds none, and for columns that it does not have. */
export async function readPairs(
  path: string,
  { source = 'source', target = 'target', ...options }: PairColumns = {},
): Promise<readonly TextPair[]> {
  const pairs: TextPair[] = [];
  for await (const record of recordsOf(path, [source, target], options)) {
    pairs.push({
      source: textOfRecord(path, source, record),
      target: textOfRecord(path, target, { ...record, values: record.values.slice(1) }),
    });
  }
  if (pairs.length === 0) throw new PerformerError('DATA', `read ${path}: expected pairs of texts, got none.`);
  return pairs;
}

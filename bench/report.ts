/** What a benchmark reports: rows of a table, each with its target where it has one. */

export interface Row {
  readonly what: string;
  readonly value: string;
  /** The ratio to the named opponent, measured in the same run. */
  readonly ratio?: number;
  readonly opponent?: string;
  /** The target as text, and whether it was met. */
  readonly target?: string;
  readonly isMet?: boolean;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  run(): Promise<readonly Row[]>;
}

/** A row with a target that is a lower or an upper bound on the ratio. */
export function bounded(
  row: Omit<Row, 'target' | 'isMet'> & { readonly ratio: number },
  bound: { readonly atLeast?: number; readonly atMost?: number },
): Row {
  if (bound.atLeast !== undefined) {
    return { ...row, target: `≥ ${bound.atLeast}`, isMet: row.ratio >= bound.atLeast };
  }
  return { ...row, target: `≤ ${bound.atMost}`, isMet: row.ratio <= (bound.atMost ?? 0) };
}

export function formatRows(title: string, rows: readonly Row[]): string {
  const cells = rows.map(({ what, value, ratio, opponent, target, isMet }) => [
    what,
    value,
    ratio === undefined ? '' : `${ratio.toPrecision(3)}${opponent === undefined ? '' : ` of ${opponent}`}`,
    target === undefined ? '' : `${target} ${isMet ? 'met' : 'NOT MET'}`,
  ]);
  const all = [['', 'measured', 'ratio', 'target'], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `\n${title}\n${lines.join('\n')}`;
}

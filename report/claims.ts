/** What a figure shows, said from its own rows, so that no text claims more than is drawn. */

export interface MeasuredRow {
  readonly map: string;
  readonly features: number;
  /** The panel: how large queries and keys are. */
  readonly norm: string;
  readonly meanSquaredError: number;
}

/** In how many places one map errs less than another, in all and in each panel. */
export function winsOf(rows: readonly MeasuredRow[], one: string, other: string): string {
  const errorOf = (map: string, { norm, features }: MeasuredRow) =>
    rows.find((row) => row.map === map && row.norm === norm && row.features === features)?.meanSquaredError;
  const compared = rows
    .filter((row) => row.map === one)
    .flatMap((row) => {
      const error = errorOf(other, row);
      return error === undefined ? [] : [{ norm: row.norm, isLess: row.meanSquaredError < error }];
    });
  const count = (own: typeof compared) => `${own.filter(({ isLess }) => isLess).length} of ${own.length}`;
  const panels = [...new Set(compared.map(({ norm }) => norm))];
  const each = panels.map((norm) => `${count(compared.filter((row) => row.norm === norm))} at ${norm}`).join(', ');
  return `“${one}” errs less than “${other}” in ${count(compared)} places (${each})`;
}

/** The maps with the least and the largest errors where there are most features, in each panel. */
export function extremesOf(rows: readonly MeasuredRow[], few: number): string {
  const most = Math.max(...rows.map(({ features }) => features));
  return [...new Set(rows.map(({ norm }) => norm))]
    .map((norm) => {
      const own = rows.filter((row) => row.norm === norm && row.features === most);
      const names = own.sort((a, b) => a.meanSquaredError - b.meanSquaredError).map(({ map }) => map);
      return `At ${norm} and ${most} features the least errors are those of ${names.slice(0, few).join(', ')}, the largest those of ${names.slice(-few).join(', ')}.`;
    })
    .join(' ');
}

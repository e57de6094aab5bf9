/** F1, the harmonic mean of precision and recall, from counts of texts, words or spans. */

/** How many texts (or words, or spans) have a class or a label, how many were told to have it, and how many of these rightly. */
export interface Tally {
  readonly texts: number;
  readonly told: number;
  readonly right: number;
}

/** 2·right/(texts + told), from 0 to 1; 1 where there was nothing to tell and nothing was told. */
export function f1Of({ texts, told, right }: Tally): number {
  return texts + told === 0 ? 1 : (2 * right) / (texts + told);
}

/** The mean of F1 over those that there are texts of, or that were told. */
export function macroF1Of(tallies: readonly Tally[]): number {
  const met = tallies.filter(({ texts, told }) => texts + told > 0);
  return met.length === 0 ? 1 : met.reduce((total, tally) => total + f1Of(tally), 0) / met.length;
}

/** All of them together. */
export function totalOf(tallies: readonly Tally[]): Tally {
  const all = (key: keyof Tally) => tallies.reduce((total, tally) => total + tally[key], 0);
  return { texts: all('texts'), told: all('told'), right: all('right') };
}

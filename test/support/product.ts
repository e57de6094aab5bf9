/**
 * How much of a product of cases runs. `npm run test:all` runs all of it, and `npm test` so many cases that each thing is in some:
 * what a case finds, another with the same parts nearly always finds too.
 */
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Whether all cases of products run. */
    readonly hasAllCases: boolean;
  }
}

const hasAllCases = inject('hasAllCases');

/**
 * The items that are combined with the one that has the number `turn`: all of them, or one in `step`, beginning elsewhere with each
 * turn, so that over the turns each item is among them.
 */
export function some<T>(items: readonly T[], turn: number, step = Math.min(items.length, 4)): readonly T[] {
  return hasAllCases ? items : items.filter((_, at) => (at + turn) % step === 0);
}

/** All cases, or those of which some part is in none before them. */
export function withEachPart<T>(cases: readonly T[], partsOf: (each: T) => readonly string[]): readonly T[] {
  const seen = new Set<string>();
  return cases.filter((each) => {
    const before = seen.size;
    for (const part of partsOf(each)) seen.add(part);
    return hasAllCases || seen.size > before;
  });
}

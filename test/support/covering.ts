/** Cases that cover all pairs: each level of each factor meets each level of every other factor in one of them at least. */

/** The levels of each factor by their names. */
export type Factors = Readonly<Record<string, readonly string[]>>;

/** A level for some factors, or for all of them. */
export type Choice = Readonly<Record<string, string>>;

export interface Covering {
  readonly cases: readonly Choice[];
  /** The pairs of levels that cannot be. */
  readonly impossible: readonly Choice[];
}

/**
 * Greedy: a case begins with a pair that none has yet, and goes on, factor by factor, with the level that makes most new pairs of
 * those that can be with all that is chosen.
 */
export function coveringOf(factors: Factors, isPossible: (pair: Choice) => boolean): Covering {
  const pairs = pairsOf(factors);
  const possible = new Map(pairs.filter(isPossible).map((pair) => [keyOf(Object.entries(pair)), pair]));
  const impossible = pairs.filter((pair) => !possible.has(keyOf(Object.entries(pair))));
  const missing = new Map(possible);
  const cases: Choice[] = [];
  // What a case covers is taken out, and is not come to.
  for (const first of missing.values()) {
    const chosen = Object.entries(first);
    for (const [factor, levels] of Object.entries(factors).filter(([name]) => !(name in first))) {
      const news = (level: string) => {
        const keys = chosen.map((other) => keyOf([other, [factor, level]]));
        return keys.every((key) => possible.has(key)) ? keys.filter((key) => missing.has(key)).length : -1;
      };
      // Of levels with as many new pairs, another one in each case.
      const all = levels.map((_, at) => levels[(at + cases.length) % levels.length]!);
      const [best] = all.map((level) => ({ level, news: news(level) })).sort((one, other) => other.news - one.news);
      if (best!.news < 0) throw new Error(`no ${factor} goes with ${JSON.stringify(chosen)}`);
      chosen.push([factor, best!.level]);
    }
    cases.push(Object.fromEntries(chosen));
    for (const [at, one] of chosen.entries())
      for (const other of chosen.slice(at + 1)) missing.delete(keyOf([one, other]));
  }
  return { cases, impossible };
}

function pairsOf(factors: Factors): readonly Choice[] {
  const all = Object.entries(factors);
  return all.flatMap(([one, levels], at) =>
    all
      .slice(at + 1)
      .flatMap(([other, others]) =>
        levels.flatMap((level) => others.map((beside) => ({ [one]: level, [other]: beside }))),
      ),
  );
}

/** The same for a pair in either order. */
function keyOf(pair: readonly (readonly [factor: string, level: string])[]): string {
  return pair
    .map((each) => each.join('='))
    .sort()
    .join(', ');
}

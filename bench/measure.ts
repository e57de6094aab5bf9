/** Measuring on a noisy machine: warm up, take turns, and keep medians. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}

export interface Timing {
  /** Milliseconds. */
  readonly median: number;
  readonly fastest: number;
  readonly slowest: number;
}

export function summarize(milliseconds: readonly number[]): Timing {
  return { median: median(milliseconds), fastest: Math.min(...milliseconds), slowest: Math.max(...milliseconds) };
}

/** Times each contender once a round, in turns, so that a slow spell of the machine falls on all of them. */
export async function inTurns<K extends string>(
  contenders: Readonly<Record<K, () => Promise<unknown>>>,
  { warmup, rounds }: { readonly warmup: number; readonly rounds: number },
): Promise<Record<K, Timing>> {
  const names = Object.keys(contenders) as K[];
  const times = new Map<K, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round < warmup + rounds; round++) {
    for (const name of names) {
      const start = performance.now();
      await contenders[name]();
      if (round >= warmup) times.get(name)?.push(performance.now() - start);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summarize(times.get(name) ?? [])])) as Record<K, Timing>;
}

/** Seconds of processor time: other work on the machine does not count. */
export async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
  const start = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(start);
  return { result, seconds: (user + system) / 1e6 };
}

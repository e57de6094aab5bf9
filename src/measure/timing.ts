/** Measuring on a noisy machine: warm up, take turns, and keep medians. */

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}

/** What repeated measurements came to, in milliseconds. */
export interface Timing {
  /** Milliseconds. */
  readonly median: number;
  readonly fastest: number;
  readonly slowest: number;
  /** How many runs were timed. */
  readonly runs: number;
}

/** The median, the fastest and the slowest of some times. */
export function summarize(milliseconds: readonly number[]): Timing {
  return {
    median: median(milliseconds),
    fastest: Math.min(...milliseconds),
    slowest: Math.max(...milliseconds),
    runs: milliseconds.length,
  };
}

/** How often each thing is timed, in turns with the others. */
export interface Turns {
  readonly warmup: number;
  readonly rounds: number;
  /** Asks to end after the run under way: the medians are then those of the whole rounds so far. */
  readonly signal?: AbortSignal;
  /** Called after each run. */
  readonly onRun?: () => void;
}

/**
 * Times each contender once a round, in turns, so that a slow spell of the machine falls on all of them. Throws the
 * signal's reason where not one round was whole.
 */
export async function inTurns<K extends string>(
  contenders: Readonly<Record<K, () => Promise<unknown>>>,
  { warmup, rounds, signal, onRun }: Turns,
): Promise<Record<K, Timing>> {
  const names = Object.keys(contenders) as K[];
  const whole: Record<K, number>[] = [];
  for (let round = 0; round < warmup + rounds && !signal?.aborted; round++) {
    const times: [K, number][] = [];
    for (const name of names) {
      if (signal?.aborted) break;
      const start = performance.now();
      await contenders[name]();
      times.push([name, performance.now() - start]);
      onRun?.();
    }
    if (round >= warmup && times.length === names.length) whole.push(Object.fromEntries(times) as Record<K, number>);
  }
  if (whole.length === 0) signal?.throwIfAborted();
  return Object.fromEntries(names.map((name) => [name, summarize(whole.map((times) => times[name]))])) as Record<
    K,
    Timing
  >;
}

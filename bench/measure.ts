/** Measuring on a noisy machine. */
export { inTurns, median, summarize, type Timing } from '../src/measure/index.js';

/** The most that was resident in this process so far. */
export function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Seconds of processor time: other work on the machine does not count. */
export async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
  const start = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(start);
  return { result, seconds: (user + system) / 1e6 };
}

/** Measuring on a noisy machine. */
import { writeFileSync } from 'node:fs';
import { peakBytes } from '../src/measure/node.js';

export { inTurns, median, summarize, type Timing } from '../src/measure/index.js';
export { peakBytes };

/** The most bytes that are resident in this process during some work; on other systems than Linux, so far. */
export async function peakDuring(work: () => Promise<unknown>): Promise<number> {
  if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5'); // sets the peak to what is resident
  await work();
  return peakBytes();
}

/** Seconds of processor time: other work on the machine does not count. */
export async function timed<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
  const start = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(start);
  return { result, seconds: (user + system) / 1e6 };
}

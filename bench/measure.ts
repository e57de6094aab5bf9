/** Measuring on a noisy machine. */
import { existsSync, writeFileSync } from 'node:fs';
import { peakBytes } from '../src/measure/node.js';

export { inTurns, median, summarize, type Timing } from '../src/measure/index.js';
export { peakBytes };

/** The most bytes that are resident in this process during some work; where the system cannot forget a peak, so far. */
export async function peakDuring(work: () => Promise<unknown>): Promise<number> {
  const peakFile = '/proc/self/clear_refs';
  if (existsSync(peakFile)) writeFileSync(peakFile, '5'); // Linux: what is resident is the peak from here on
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

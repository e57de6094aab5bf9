/**
 * A process that makes training steps and tells its parent how much they took: the first one's peak of resident memory
 * over what was resident before it, and the time of each.
 */
import { config } from './model.js';
import { preparedStep } from './training-step.js';

export interface MemoryStepOptions {
  readonly depth: number;
  readonly length: number;
  readonly recompute: boolean;
  readonly steps: number;
}

export interface MemoryStepResult {
  /** Bytes. */
  readonly peak: number;
  /** Milliseconds. */
  readonly times: readonly number[];
}

const { depth, length, recompute, steps } = JSON.parse(process.argv[2] as string) as MemoryStepOptions;
const { train } = await preparedStep(length, { settings: { ...config, depth }, recompute });
const before = process.memoryUsage.rss();
const times: number[] = [];
for (let i = 0; i < steps; i++) {
  const start = performance.now();
  await train();
  times.push(performance.now() - start);
}
const result: MemoryStepResult = { peak: process.resourceUsage().maxRSS * 1024 - before, times };
if (process.send === undefined) console.log(JSON.stringify(result));
else process.send(result);

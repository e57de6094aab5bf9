/** A process that makes one training step and tells its parent the peak of resident memory over what was there before. */

import { modelOf } from '../src/models/index.js';
import { tell } from './in-process.js';
import { peakBytes } from './measure.js';
import { config, writeProfiles } from './model.js';
import { preparedStep } from './training-step.js';

export interface MemoryStepOptions {
  readonly depth: number;
  readonly length: number;
  readonly recompute: boolean;
  readonly reversible?: boolean | undefined;
}

const { depth, length, recompute, reversible = false } = JSON.parse(process.argv[2] as string) as MemoryStepOptions;
const train = await preparedStep(length, { of: modelOf({ ...config, depth, reversible }), recompute });
const before = process.memoryUsage.rss();
await train();
const bytes = peakBytes() - before;
await writeProfiles();
tell(bytes);

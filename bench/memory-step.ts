/** A process that makes one training step and tells its parent the peak of resident memory over what was there before. */

import { type Execution, modelOf } from '../src/models/index.js';
import { tell } from './in-process.js';
import { peakDuring } from './measure.js';
import { config, writeProfiles } from './model.js';
import { preparedStep } from './training-step.js';

export interface MemoryStepOptions extends Execution {
  readonly depth: number;
  readonly length: number;
  readonly recompute: boolean;
  readonly reversible?: boolean | undefined;
}

const { depth, length, recompute, reversible = false, ...execution }: MemoryStepOptions = JSON.parse(process.argv[2]!);
const train = await preparedStep(length, { of: modelOf({ ...config, depth, reversible }, execution), recompute });
const before = process.memoryUsage.rss();
const bytes = (await peakDuring(train)) - before;
await writeProfiles();
tell(bytes);

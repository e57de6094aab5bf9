/** A process that makes the session of one training step and tells its parent how many milliseconds that took. */
import { compileStep } from '../src/training/index.js';
import { tell } from './in-process.js';
import { config, engine } from './model.js';
import { stepConfig } from './training-step.js';

const length = JSON.parse(process.argv[2] as string) as number;
const began = performance.now();
await compileStep(engine, config, stepConfig(length));
tell(performance.now() - began);

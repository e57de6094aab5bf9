/** A process that makes the session of one training step and tells its parent how many milliseconds that took. */
import { compileStep } from '../src/training/index.js';
import { tell } from './in-process.js';
import { engine, model } from './model.js';
import { stepConfig, taskOf } from './training-step.js';

const length = JSON.parse(process.argv[2] as string) as number;
const began = performance.now();
const training = stepConfig(length);
await compileStep(engine, taskOf(model, training), training);
tell(performance.now() - began);

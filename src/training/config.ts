/** The options of a training run, with their defaults. */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { describeIssues } from '../models/index.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 31);
/** Tokens of a batch: a gigabyte of their numbers alone. */
const largestStep = 2 ** 28;
const fraction = z.number().min(0).max(1);

/** Steps between evaluations at least, unless asked otherwise: each reads all of the held-out text, twice. */
const shortestInterval = 200;

export const trainingSchema = z
  .strictObject({
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
    steps: count,
    batch: z
      .int()
      .min(1)
      .max(2 ** 16),
    window: z
      .int()
      .min(1)
      .max(2 ** 24),
    accumulation: z
      .int()
      .min(1)
      .max(2 ** 16)
      .default(1),
    learningRate: z.number().positive(),
    schedule: z.enum(['cosine', 'linear', 'constant', 'inverse-square-root']).default('cosine'),
    warmup: z.int().min(0).optional(),
    finalFraction: fraction.default(0.05),
    beta1: fraction.lt(1).default(0.9),
    beta2: fraction.lt(1).default(0.98),
    adamEpsilon: z.number().positive().default(1e-8),
    weightDecay: z.number().min(0).default(0.1),
    clipNorm: z.number().positive().default(1),
    carryState: z.boolean().default(false),
    recompute: z.boolean().default(false),
    redrawInterval: z.int().min(0).default(1000),
    heldOut: fraction.gt(0).lt(1).default(0.05),
    evaluationInterval: count.optional(),
    checkpointInterval: count.optional(),
    keep: count.default(2),
  })
  .superRefine(({ batch, window }, context) => {
    const most = Math.floor(largestStep / batch);
    const message = `at most ${most} tokens for a batch of ${batch}, got ${window}`;
    if (window > most) context.addIssue({ code: 'custom', path: ['window'], message });
  })
  .transform(({ warmup, evaluationInterval, checkpointInterval, ...config }) => ({
    ...config, // and the others last, so that the order of the keys in files does not tell which were given
    warmup: warmup ?? Math.ceil(config.steps / 20),
    evaluationInterval: evaluationInterval ?? Math.max(shortestInterval, Math.ceil(config.steps / 10)),
    checkpointInterval: checkpointInterval ?? Math.ceil(config.steps / 10),
  }));

export type TrainingConfig = z.output<typeof trainingSchema>;
/** What may be given: steps, batch, window and learning rate must be, all else has a default. */
export interface TrainingOptions extends z.input<typeof trainingSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function trainingConfig(options: TrainingOptions): TrainingConfig {
  return readTrainingConfig(options, 'trainingConfig');
}

/** The same for a value of unknown type, as a file has it; errors begin with `where`. */
export function readTrainingConfig(value: unknown, where: string): TrainingConfig {
  const parsed = trainingSchema.safeParse(value, { reportInput: true });
  if (!parsed.success) {
    throw new PerformerError('CONFIG', `${where}: expected valid options, got ${describeIssues(parsed.error)}.`);
  }
  return parsed.data;
}

/** The options of a training run, with their defaults. */
import * as z from 'zod';
import { option, parseOptions } from '../base/options.js';
import type { Model } from '../models/index.js';

const count = z
  .int()
  .min(1)
  .max(2 ** 31);
const fraction = z.number().min(0).max(1);
/** Tokens of a batch: a gigabyte of their numbers alone. */
const largestStep = 2 ** 28;
const rate = z.number().min(0).lt(1);

/** Steps between evaluations at least, unless asked otherwise: each reads all of the held-out text, twice. */
const shortestInterval = 200;

const fromPreset = { fallback: 'from the preset' };

const fields = {
  seed: option(
    z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
    'of everything random: equal seeds give equal runs',
  ),
  steps: option(count, 'optimizer steps in all', fromPreset),
  batch: option(count.max(2 ** 16), 'windows side by side', fromPreset),
  window: option(count.max(2 ** 24), 'tokens of a window', fromPreset),
  accumulation: option(count.max(2 ** 16).default(1), 'batches whose gradients are averaged for one step'),
  learningRate: option(z.number().positive(), 'the highest learning rate', {
    fallback: 'from the preset; of a model to go on from 5e-5, of its adapters 5e-4',
  }),
  schedule: option(
    z.enum(['cosine', 'linear', 'constant', 'inverse-square-root']).default('cosine'),
    'how the learning rate falls after the warm-up; a run with one of the last two can be made longer without a jump',
  ),
  warmup: option(z.int().min(0).optional(), 'steps over which the learning rate rises', {
    fallback: 'a twentieth of the steps',
  }),
  finalFraction: option(fraction.default(0.05), 'the last learning rate as a part of the highest'),
  optimizer: option(
    z.enum(['adamw', 'muon']).default('adamw'),
    'how gradients become steps: AdamW; or, for the matrices of the blocks but not for adapters, Muon, which learns more from each step',
  ),
  momentum: option(fraction.lt(1).default(0.95), 'Muon: decay of the sum of the gradients'),
  beta1: option(fraction.lt(1).default(0.9), 'AdamW: decay of the mean of the gradients'),
  beta2: option(fraction.lt(1).default(0.98), 'AdamW: decay of the mean of their squares'),
  adamEpsilon: option(z.number().positive().default(1e-8), 'AdamW: added to the root of the latter'),
  weightDecay: option(z.number().min(0).default(0.1), 'decay of the weights, times the learning rate'),
  clipNorm: option(z.number().positive().default(1), 'the largest norm of the gradient'),
  embeddingDropout: option(rate.default(0), 'part of the embedding dropped in training'),
  attentionDropout: option(rate.default(0), 'part of the attention output dropped in training'),
  feedForwardDropout: option(rate.default(0), 'part of the feed-forward layers dropped in training'),
  carryState: option(z.boolean().default(false), 'read the text in order, and carry the state from window to window'),
  recompute: option(
    z.boolean().default(false),
    'compute the blocks again for the gradient: less memory, a fifth more time',
  ),
  chunk: option(count.max(2048).default(64), 'tokens that causal attention takes at once; changes the speed alone'),
  feedForwardChunk: option(
    count.optional(),
    'tokens of a batch that the feed-forward layers take at once: less memory, and one of their products once more',
    { fallback: 'all' },
  ),
  redrawInterval: option(z.int().min(0).default(1000), 'steps between new random projections; 0: never'),
  heldOut: option(
    fraction.gt(0).lt(1).default(0.05),
    'the part that is held out: the end of a text, or some of labelled texts, chosen by the seed',
  ),
  evaluationInterval: option(count.optional(), 'steps between evaluations on it', {
    fallback: 'a tenth of the steps, and 200 at least',
  }),
  checkpointInterval: option(count.optional(), 'steps between checkpoints', { fallback: 'a tenth of the steps' }),
  loraRank: option(
    z
      .int()
      .min(1)
      .max(2 ** 16)
      .optional(),
    'of a model to go on from, learn changes of the matrices of its blocks of this rank alone (LoRA), and what it lacks',
    { fallback: 'all weights learn' },
  ),
  loraAlpha: option(z.number().positive().optional(), 'how much these changes count: alpha/rank', {
    fallback: 'twice the rank',
  }),
  keep: option(count.default(2), 'checkpoints to keep beside the best'),
};

/** The options of a training, with their bounds, defaults and help. */
export const trainingSchema = z
  .strictObject(fields)
  .superRefine(({ batch, window }, context) => {
    const most = Math.floor(largestStep / batch);
    const message = `at most ${most} tokens for a batch of ${batch}, got ${window}`;
    if (window > most) context.addIssue({ code: 'custom', path: ['window'], message });
  })
  .superRefine(({ loraRank, loraAlpha }, context) => {
    if (loraRank !== undefined || loraAlpha === undefined) return;
    context.addIssue({ code: 'custom', path: ['loraAlpha'], message: 'only a training with a loraRank has it' });
  })
  .transform(({ warmup, evaluationInterval, checkpointInterval, loraRank, loraAlpha, ...config }) => ({
    ...config, // and the others last, so that the order of the keys in files does not tell which were given
    ...(loraRank !== undefined && { loraRank, loraAlpha: loraAlpha ?? 2 * loraRank }),
    warmup: warmup ?? Math.ceil(config.steps / 20),
    evaluationInterval: evaluationInterval ?? Math.max(shortestInterval, Math.ceil(config.steps / 10)),
    checkpointInterval: checkpointInterval ?? Math.ceil(config.steps / 10),
  }));

/** Every option of a training, with defaults filled in. */
export type TrainingConfig = z.output<typeof trainingSchema>;
/** What may be given: steps, batch, window and learning rate must be, all else has a default. */
export interface TrainingOptions extends z.input<typeof trainingSchema> {}

/** Checks options and fills in defaults. Throws CONFIG with every problem, unknown options among them. */
export function trainingConfig(options: TrainingOptions): TrainingConfig {
  return readTrainingConfig(options, 'trainingConfig');
}

/** The same for a value of unknown type, as a file has it; errors begin with `where`. */
export function readTrainingConfig(value: unknown, where: string): TrainingConfig {
  return parseOptions(where, trainingSchema, value);
}

/**
 * What a training that goes on from a model has where no preset is asked for: AdamW, and a rate at which what the model knows is not
 * lost, as it would be at those that suit first weights. Adapters, which begin anew, take a higher one.
 */
export function furtherTraining({ loraRank }: { readonly loraRank?: number | undefined }) {
  return { optimizer: 'adamw', learningRate: loraRank === undefined ? 5e-5 : 5e-4 } as const;
}

/** The training of a model: images are read whole, so that their tokens are the window. */
export function trainingOf({ image, maxLength }: Model, training: TrainingConfig): TrainingConfig {
  return image === undefined || maxLength === undefined ? training : { ...training, window: maxLength };
}

/** Whether anything is dropped in training. */
export function usesDropout({ embeddingDropout, attentionDropout, feedForwardDropout }: TrainingConfig): boolean {
  return embeddingDropout + attentionDropout + feedForwardDropout > 0;
}

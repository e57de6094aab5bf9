/** What a session is made of: its options, and a model that can go on from a state. */
import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import type { LoadedModel } from '../models/index.js';
import type { WeightsAs } from './reader.js';
import { checkOptions } from './sampling.js';
import { checkModel } from './saved-state.js';
import { nameOfValue } from './value-name.js';

/** The sizes of a session, and how it holds its weights. */
export interface GenerationSessionOptions {
  /** Rows that are read side by side, from 1; 1 unless given. */
  readonly batch?: number | undefined;
  /** Tokens of a prompt that are read at once: rounded down to whole chunks of the model, one at least; 512 unless given. */
  readonly readChunk?: number | undefined;
  /** constants: the engine lays weights out once, which is fastest; inputs: `replaceWeights` can change them at any time. */
  readonly weights?: WeightsAs | undefined;
}

const optionsSchema = z.strictObject({
  batch: z.int().min(1).optional(),
  readChunk: z.int().min(1).optional(),
  weights: z.enum(['constants', 'inputs']).optional(),
});

/** Throws CONFIG or CHECKPOINT as `GenerationSession.create` says. */
export function checkSession(engine: Engine, loaded: LoadedModel, options: GenerationSessionOptions): void {
  const refuse = (expected: string, got: string) => {
    throw new PerformerError('CONFIG', `GenerationSession: expected ${expected}, got ${got}.`);
  };
  if (typeof engine?.compile !== 'function') refuse('an engine', nameOfValue(engine));
  if (typeof loaded?.model?.apply !== 'function') refuse('a model with weights', nameOfValue(loaded));
  checkOptions('GenerationSession', optionsSchema, options);
  if (!loaded.model.isCausal) refuse('a causal model', loaded.model.config.model);
  checkModel('GenerationSession', loaded);
}

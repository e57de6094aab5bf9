/** What a classifier tells of texts: probabilities of classes or of labels, or values in their own units. */
import { withArticle } from '../base/article.js';
import { PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import type { LoadedModel } from './folder.js';
import { type Targets, targetsOf } from './targets.js';
import { compileTextVectors, type GivenTokens, type TextBatchOptions } from './text-vectors.js';
import { told } from './told.js';

/** Tells the class, the labels or the values of texts, by a compiled model. Free it with `dispose`. */
export interface Predictor {
  /** The names of the numbers that are told of a text, and their kind. */
  readonly targets: Targets;
  /** For each text the probability of each class or each label, or each value, in the order of the names. */
  predict(texts: readonly GivenTokens[]): Promise<Float32Array[]>;
  /** Frees what was compiled. */
  dispose(): Promise<void>;
}

/** Compiles the predictions of a classifier. Throws CONFIG for a model of another family, and for a batch or window that is none. */
export async function createPredictor(
  engine: Engine,
  loaded: LoadedModel,
  options: TextBatchOptions = {},
): Promise<Predictor> {
  const targets = targetsOf(loaded.model);
  if (targets === undefined || loaded.model.kind === 'token-classifier') {
    throw new PerformerError(
      'CONFIG',
      `predict: expected a classifier, got ${withArticle(loaded.model.config.model)}.`,
    );
  }
  const vectors = await compileTextVectors('predict', engine, loaded, options, ({ output }) => told(targets, output));
  return { targets, predict: vectors.of, dispose: vectors.dispose };
}

/** For each text the probability of each class or each label, or each value in its own units. See `createPredictor`. */
export async function predict(
  engine: Engine,
  loaded: LoadedModel,
  texts: readonly GivenTokens[],
  options: TextBatchOptions = {},
): Promise<Float32Array[]> {
  const predictor = await createPredictor(engine, loaded, options);
  try {
    return await predictor.predict(texts);
  } finally {
    await predictor.dispose();
  }
}

/** The labels whose probability is above one half. */
export function likelyLabels(names: readonly string[], probabilities: Float32Array): readonly string[] {
  return names.filter((_, index) => (probabilities[index] as number) > 0.5);
}

/** Training in memory: from texts to a model, in Node and in a browser. */

import { platform } from '#platform';
import type { HostTensor } from '../base/array.js';
import { mapTree } from '../base/tree.js';
import { type ByteSource, bytesSource, joinSources, splitCorpus } from '../data/index.js';
import { modelConfig, modelOf, tokenizerOf } from '../models/index.js';
import { languageModelling } from '../tasks/index.js';
import { initialSnapshot, type RunEvent, readTrainingConfig, runTraining, Trainer } from '../training/index.js';
import { breather } from './breather.js';
import { type LocalLanguageModel, languageModelOn } from './language-model.js';
import { type EngineOption, type ModelOptions, splitOptions, type TrainingRunOptions, withPreset } from './options.js';

/** A text, its bytes, or several of them, which are read one after another as they are. */
export type TrainingText = string | Uint8Array | readonly (string | Uint8Array)[];

/**
 * What a training tells: after each step its loss in nats a token, its learning rate and the norm of its gradient, and
 * after each evaluation the losses on the text that was held out. `steps` is how many there are in all.
 */
export type TrainingProgress = Exclude<RunEvent, { readonly kind: 'checkpoint' }> & { readonly steps: number };

export interface TrainModelOptions extends ModelOptions, TrainingRunOptions, EngineOption {
  /** Called after each step and each evaluation, and awaited. */
  readonly onProgress?: ((progress: TrainingProgress) => void | PromiseLike<void>) | undefined;
  /** Ends the training after the step that is under way; the model so far is returned. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Trains a language model on texts in memory. It has the weights that did best on the text that was held out, or
 * the last ones where it was stopped before the first evaluation.
 *
 * @throws CONFIG for options that do not fit; DATA for too little text; NUMERIC where the loss is no longer finite; DEVICE
 *   where the engine is not installed or fails.
 */
export async function trainModel(text: TrainingText, options: TrainModelOptions = {}): Promise<LocalLanguageModel> {
  const { onProgress, signal, engine: given, preset, ...own } = options;
  const split = splitOptions(own);
  const config = modelConfig(withPreset('trainModel', 'model', preset, split.model), 'trainModel');
  const training = readTrainingConfig(withPreset('trainModel', 'training', preset, split.training), 'trainModel');
  const model = modelOf(config, { chunk: training.chunk });
  const data = await splitCorpus(sourceOf(text), tokenizerOf(config), training);
  const task = languageModelling(model, training, data);
  const engine = given ?? (await platform.engine());
  const trainer = await Trainer.create(initialSnapshot(config, training), { engine, task });
  const breathe = breather();
  try {
    let best: Weights | undefined;
    for await (const event of runTraining(trainer, { signal })) {
      if (event.kind === 'checkpoint') continue;
      if (event.kind === 'evaluation' && event.isBest) best = await weightsOf(trainer);
      await onProgress?.({ ...event, steps: training.steps });
      await breathe();
    }
    return languageModelOn(engine, { model, ...(best ?? (await weightsOf(trainer))) });
  } finally {
    await trainer.dispose();
  }
}

interface Weights {
  readonly params: object;
  readonly buffers: object;
}

/** A copy of the weights, which later steps leave as they are. */
async function weightsOf(trainer: Trainer): Promise<Weights> {
  const { params, buffers } = await trainer.fetchSnapshot();
  const copy = ({ data, ...tensor }: HostTensor) => ({ ...tensor, data: data.slice() }) as HostTensor;
  return { params: mapTree(params, copy), buffers };
}

function sourceOf(text: TrainingText): ByteSource {
  const texts = typeof text === 'string' || text instanceof Uint8Array ? [text] : text;
  const bytes = (each: string | Uint8Array) => (typeof each === 'string' ? new TextEncoder().encode(each) : each);
  return joinSources(texts.map((each) => bytesSource(bytes(each))));
}

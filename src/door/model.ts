/** Models from options, from where they were saved, and to there. */

import { platform } from '#platform';
import { PerformerError } from '../base/errors.js';
import { drawBuffers, initialize } from '../base/layout.js';
import { Random } from '../base/random.js';
import { decodeModel, type LoadedModel, modelConfig, modelOf } from '../models/index.js';
import { fetchModel } from './fetch-model.js';
import { type LanguageModel, type LocalLanguageModel, languageModelOn } from './language-model.js';
import { type EngineOption, type ModelOptions, withPreset } from './options.js';

export interface CreateModelOptions extends ModelOptions, EngineOption {
  /** Of the first weights and the random features; 0 unless given. */
  readonly seed?: number | undefined;
}

/**
 * A model with fresh weights, which says nothing of sense yet: those that `trainModel` with the same options begins with.
 *
 * @throws CONFIG for options that do not fit; DEVICE where the engine is not installed.
 */
export async function createModel(options: CreateModelOptions = {}): Promise<LocalLanguageModel> {
  const { engine, seed = 0, preset, ...own } = options;
  const model = modelOf(modelConfig(withPreset('createModel', 'model', preset, own), 'createModel'));
  const random = Random.fromSeed(seed);
  const params: object = initialize(model.params, random.split('parameters'));
  const buffers: object = drawBuffers(model.buffers, random.split('projections').split(0));
  return languageModelOn(engine ?? (await platform.engine()), { model, params, buffers });
}

/** Where a model is: a folder (in Node), a URL of a folder (a browser takes it as a text, too), or its files by name. */
export type ModelSource = string | URL | ReadonlyMap<string, Uint8Array>;

/**
 * A model that was saved by `saveModel`, by `performer train`, or by a `CheckpointFolder`.
 *
 * @throws CHECKPOINT where there is none, or it is not as it was saved; CONFIG for options that no model has.
 */
export async function loadModel(source: ModelSource, { engine }: EngineOption = {}): Promise<LocalLanguageModel> {
  const loaded = await loadedFrom(source);
  return languageModelOn(engine ?? (await platform.engine()), loaded);
}

async function loadedFrom(source: ModelSource): Promise<LoadedModel> {
  if (source instanceof URL) return source.protocol === 'file:' ? platform.load(source) : fetchModel(source);
  if (typeof source === 'string') {
    return /^https?:\/\//.test(source) ? fetchModel(new URL(source)) : platform.load(source);
  }
  if (source instanceof Map) return decodeModel(source);
  throw new PerformerError('USAGE', 'loadModel: expected a folder, a URL, or a map from names of files to bytes.');
}

/** The files of a model by name: config.json, model.safetensors, tokenizer.json and generation_config.json. */
export function saveModel(model: LanguageModel): Promise<Map<string, Uint8Array>>;
/** Writes the files of a model into a folder, in Node, which is made where there is none; files of these names are replaced. */
export function saveModel(model: LanguageModel, folder: string): Promise<Map<string, Uint8Array>>;
export async function saveModel(model: LanguageModel, folder?: string): Promise<Map<string, Uint8Array>> {
  const files = await model.files();
  if (folder !== undefined) await platform.save(folder, files);
  return files;
}

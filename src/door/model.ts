/** Models from options, from where they were saved, and to there. */

import { platform } from '#platform';
import { PerformerError } from '../base/errors.js';
import { drawBuffers, initialize } from '../base/layout.js';
import { Random } from '../base/random.js';
import type { Engine } from '../engine/index.js';
import { type LoadedModel, type ModelKind, modelConfig, modelOf, openModel } from '../models/index.js';
import { breathingEngine } from './breathing-engine.js';
import { fetchModel } from './fetch-model.js';
import type { BasicModel, Loaded, Local } from './host.js';
import { type AnyModel, expectKind, modelOn } from './kinds.js';
import { type EngineOption, withPreset, withTokenizer } from './options.js';
import type { CreateModel, CreateModelOptions, LoadModel, ModelSource } from './signatures.js';

/** The engine that was given, or that of the platform. */
export async function chosenEngine(given: Engine | undefined): Promise<Engine> {
  return breathingEngine(given ?? (await platform.engine()));
}

async function create({ engine, seed = 0, preset, ...given }: CreateModelOptions & EngineOption = {}) {
  const own = await withTokenizer(given);
  const model = modelOf(modelConfig(withPreset('createModel', 'model', preset, own, own.model), 'createModel'));
  const random = Random.fromSeed(seed);
  const params: object = initialize(model.params, random.split('parameters'));
  const buffers: object = drawBuffers(model.buffers, random.split('projections').split(0));
  return modelOn(await chosenEngine(engine), { model, params, buffers });
}

/** `loadModel` for what is known only when it runs. */
export async function load(
  source: ModelSource,
  { engine, kind }: { readonly kind?: ModelKind | undefined } & EngineOption = {},
): Promise<Local<AnyModel>> {
  const loaded = await loadedFrom(source);
  expectKind('loadModel', loaded, kind);
  return modelOn(await chosenEngine(engine), loaded);
}

/** See the signatures: the kind of the model follows from the options. */
export const createModel = create as CreateModel<EngineOption, Loaded>;

/** See the signatures: the kind of the model follows from the options. */
export const loadModel = load as LoadModel<EngineOption, Loaded>;

async function loadedFrom(source: ModelSource): Promise<LoadedModel> {
  if (source instanceof URL) return source.protocol === 'file:' ? platform.load(source) : fetchModel(source);
  if (typeof source === 'string') {
    return /^https?:\/\//.test(source) ? fetchModel(new URL(source)) : platform.load(source);
  }
  if (source instanceof Map) return openModel(source);
  throw new PerformerError('USAGE', 'loadModel: expected a folder, a URL, or a map from names of files to bytes.');
}

/** The files of a model by name: config.json, model.safetensors, tokenizer.json and generation_config.json. */
export function saveModel(model: BasicModel): Promise<Map<string, Uint8Array>>;
/** Writes the files of a model into a folder, in Node, which is made where there is none; files of these names are replaced. */
export function saveModel(model: BasicModel, folder: string): Promise<Map<string, Uint8Array>>;
export async function saveModel(model: BasicModel, folder?: string): Promise<Map<string, Uint8Array>> {
  const files = await model.files();
  if (folder !== undefined) await platform.save(folder, files);
  return files;
}

/** Model folders on disk, for Node (see `folder.ts`). */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PerformerError } from '../base/errors.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import {
  arrangeTensors,
  checkTokenizer,
  configFile,
  type Digest,
  jsonFilesOf,
  jsonText,
  type LoadedModel,
  modelFromFiles,
  type ReadOptions,
  tokenizerFile,
  weightsFile,
  weightsOf,
} from './folder.js';
import type { ModelConfig, ModelWeights } from './model.js';
import { modelConfig, modelOf } from './registry.js';

const nodeDigest: Digest = (chunks) => {
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
};

/**
 * Reads a saved model: config.json and model.safetensors of a folder, and tokenizer.json where there is one. Throws CHECKPOINT when it is none, not whole, not as
 * it was saved, or holds a number that is not finite; CONFIG for options that no model has.
 */
export async function loadModel(folder: string, options: ReadOptions = {}): Promise<LoadedModel> {
  return (await loadModelFiles(folder, options)).model;
}

/** A saved model, and the SHA-256 of the file of its weights. */
export async function loadModelFiles(
  folder: string,
  options: ReadOptions = {},
): Promise<{ model: LoadedModel; digest: string }> {
  const config = join(folder, configFile);
  const weights = join(folder, weightsFile);
  if ((await stat(config).catch(() => undefined)) === undefined) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder with a model, got one without config.json. Train one with: performer train <files…> --out ${folder}`,
    );
  }
  const content = await readJson(config);
  const model = modelOf(modelConfig(content, config));
  const tokenizer = join(folder, tokenizerFile);
  if ((await stat(tokenizer).catch(() => undefined)) !== undefined) {
    checkTokenizer(tokenizer, model.config, await readJson(tokenizer));
  }
  // Names and shapes are compared before any tensor is read.
  const file = await readSafetensors(weights, (layout) => arrangeTensors(weights, model, layout));
  return {
    model: modelFromFiles({ config, weights }, content, file, { ...options, digest: nodeDigest }),
    digest: file.digest,
  };
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, [jsonText(value)]);
}

/** Writes the files of a model into a folder, and returns the SHA-256 of the file of its weights. */
export async function writeModel(folder: string, config: ModelConfig, weights: ModelWeights): Promise<string> {
  const { tensors, metadata } = weightsOf(config, weights, nodeDigest);
  const digest = await writeSafetensors(join(folder, weightsFile), tensors, metadata);
  for (const [name, value] of Object.entries(jsonFilesOf(config))) await writeJson(join(folder, name), value);
  return digest;
}

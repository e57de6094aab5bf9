/**
 * A model on disk, as Hugging Face has it: config.json, model.safetensors, tokenizer.json, generation_config.json.
 *
 * model.safetensors keeps, as `sha256` in its metadata, the digest of its tensors and of what config.json says. The digest
 * lies there since a run replaces the files of its folder one after another while others read them: config.json stays the
 * same all the time, so that a reader finds the one model or the other.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { type Leaf, leavesOf, treeFromLeaves } from '../base/tree.js';
import { byteTokenizerJson } from '../data/index.js';
import { expectFinite } from '../interop/digest.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../interop/node.js';
import { encodeSafetensors } from '../interop/safetensors.js';
import {
  type LanguageModelConfig,
  type LanguageModelParams,
  languageModelLayout,
  type Projections,
  projectionLayout,
  readLanguageModelConfig,
} from '../models/index.js';
import type { Snapshot } from './snapshot.js';

export interface LoadedModel {
  readonly config: LanguageModelConfig;
  readonly params: LanguageModelParams<HostTensor>;
  readonly projections: Projections<HostTensor<'float32'>>;
}

const weightsName = 'model.safetensors';
const digestKey = 'sha256';

/** The files of a model; config.json comes last, as it says that there is one. */
export const modelFiles = [weightsName, 'tokenizer.json', 'generation_config.json', 'config.json'];

/**
 * Reads a saved model: config.json and model.safetensors of a folder. Throws CHECKPOINT when it is none, not whole, not as
 * it was saved, or holds a number that is not finite.
 */
export async function loadModel(folder: string): Promise<LoadedModel> {
  return (await loadModelFiles(folder)).model;
}

/** A saved model, and the SHA-256 of the file of its weights. */
export async function loadModelFiles(folder: string): Promise<{ model: LoadedModel; digest: string }> {
  const configPath = join(folder, 'config.json');
  if ((await stat(configPath).catch(() => undefined)) === undefined) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder with a model, got one without config.json. Train one with: performer train <files…> --out ${folder}`,
    );
  }
  const content = await readJson(configPath);
  const config = readLanguageModelConfig(content, configPath);
  const path = join(folder, weightsName);
  const sorted = <L extends Leaf>(tensors: ReadonlyMap<string, L>) => {
    checkListed(path, tensors, 'blocks', config.depth);
    const projectionsLike = projectionLayout(config);
    const names = new Set(leavesOf(projectionsLike).map(([name]) => name));
    const pick = (isProjection: boolean) => new Map([...tensors].filter(([name]) => names.has(name) === isProjection));
    const projections = treeFromLeaves(path, projectionsLike, pick(true));
    return { projections, params: treeFromLeaves(path, languageModelLayout(config), pick(false)) };
  };
  const { tensors, metadata, digest } = await readSafetensors(path, sorted);
  const kept = metadata[digestKey];
  if (kept !== undefined && kept !== digestOf(content, tensors)) {
    throw new PerformerError(
      'CHECKPOINT',
      `${path}: expected the tensors and the config.json that were saved together, with the SHA-256 ${kept}, got others. ` +
        'A file is damaged or of another model; get the whole folder again.',
    );
  }
  expectFinite(path, tensors);
  const { params, projections } = sorted(tensors);
  return { model: { config, params, projections: projections as Projections<HostTensor<'float32'>> }, digest };
}

/** SHA-256 of tensors in the order of their names, and of a configuration with its keys in the order of its file. */
function digestOf(config: unknown, tensors: ReadonlyMap<string, HostTensor>): string {
  const hash = createHash('sha256');
  for (const chunk of encodeSafetensors(tensors, { config: JSON.stringify(config) })) hash.update(chunk);
  return hash.digest('hex');
}

/** Throws CHECKPOINT unless a list has as many items by its tensors' names, before a layout of that many is built. */
export function checkListed(
  where: string,
  tensors: ReadonlyMap<string, unknown>,
  list: string,
  expected: number,
): void {
  const paths = [...tensors.keys()].map((name) => name.split('.'));
  const items = new Set(paths.filter(([name]) => name === list).map(([, item]) => item));
  if (items.size === expected) return;
  const got = `those of ${items.size}. Use the files that were saved together.`;
  throw new PerformerError('CHECKPOINT', `${where}: expected the tensors of ${expected} ${list}, got ${got}`);
}

/** The tensors of a tree by their paths. */
export function tensorsOf(tree: unknown): Map<string, HostTensor> {
  return new Map(leavesOf(tree) as unknown as [string, HostTensor][]);
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, [`${JSON.stringify(value, undefined, 2)}\n`]);
}

/** Writes the files of a model into a folder, and returns the SHA-256 of the file of its weights. */
export async function writeModel(folder: string, { model, params, projections }: Snapshot): Promise<string> {
  const tensors = new Map([...tensorsOf(params), ...tensorsOf(projections)]);
  const metadata = { format: 'pt', producer: 'performer-ts', [digestKey]: digestOf(model, tensors) };
  const digest = await writeSafetensors(join(folder, weightsName), tensors, metadata);
  await writeJson(join(folder, 'config.json'), model);
  await writeJson(join(folder, 'tokenizer.json'), byteTokenizerJson());
  await writeJson(join(folder, 'generation_config.json'), { temperature: 0.8, top_p: 0.95 });
  return digest;
}

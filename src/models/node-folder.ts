/** Model folders on disk, for Node (see `folder.ts`). */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { AnyHostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { huggingFaceTokenizer, isFromFile, openTokenizer, tokenizerFile } from '../data/index.js';
import { openRegularFile, readError, readFully } from '../data/node-read.js';
import { readTokenizerFolder } from '../data/node-tokenizer.js';
import type { WeightDtype } from '../interop/index.js';
import {
  readJson,
  readSafetensors,
  readSafetensorsLayout,
  writeFileAtomic,
  writeSafetensors,
} from '../interop/node.js';
import { isThere } from '../interop/node-files.js';
import { checkShard, indexFile, isPretrained, modulesFile, shardsOf, type TensorLayout } from '../pretrained/index.js';
import { type ContextRecord, contextFile, contextJson } from './context.js';
import {
  arrangeTensors,
  checkTokenizer,
  configFile,
  type Digest,
  digestKey,
  jsonText,
  type LoadedModel,
  modelFromFiles,
  otherFilesOf,
  type ReadOptions,
  tensorsOf,
  weightsFile,
  weightsOf,
} from './folder.js';
import { isGguf, readGguf } from './gguf-model.js';
import type { ModelConfig } from './model.js';
import { expectOneSource, filesBeside, pretrainedSource } from './pretrained-folder.js';
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
  if (isGguf(folder)) return loadGguf(folder, options);
  const config = join(folder, configFile);
  const weights = join(folder, weightsFile);
  if (!(await isThere(config))) {
    throw new PerformerError(
      'CHECKPOINT',
      `${folder}: expected a folder with a model, got one without config.json. Check the path, or train one with: performer train <files…> --out ${folder}`,
    );
  }
  const content = await readJson(config);
  if (isPretrained(content)) return loadPretrained(folder, content, options);
  await openTokenizer(content, () => readTokenizerFolder(folder), `${folder}/`);
  const model = modelOf(modelConfig(content, config));
  const [tokenizer, context] = [join(folder, tokenizerFile), join(folder, contextFile)];
  if (!isFromFile(model.config.tokenizer) && (await isThere(tokenizer)))
    checkTokenizer(tokenizer, model.config, await readJson(tokenizer));
  const other = (await isThere(context)) ? { where: context, content: await readJson(context) } : undefined;
  // Names and shapes are compared before any tensor is read.
  const file = await readSafetensors(weights, (layout) => arrangeTensors(weights, model, layout));
  return {
    model: modelFromFiles({ config, weights }, content, file, { ...options, digest: nodeDigest, context: other }),
    digest: file.digest,
  };
}

/** A model of another system, and a digest of the files of its weights. */
async function loadPretrained(
  folder: string,
  content: Readonly<Record<string, unknown>>,
  options: ReadOptions,
): Promise<{ model: LoadedModel; digest: string }> {
  const [weights, index] = [join(folder, weightsFile), join(folder, indexFile)];
  const isSharded = await isThere(index);
  const files = await readTokenizerFolder(folder);
  const json = async (name: string) =>
    [name, (await isThere(join(folder, name))) ? await readJson(join(folder, name)) : undefined] as const;
  const modules = await json(modulesFile);
  const beside = {
    tokenizer: files.size === 0 ? undefined : (await huggingFaceTokenizer(files, `${folder}/`)).name,
    content: new Map([modules, ...(await Promise.all(filesBeside(modules[1]).map(json)))]),
  };
  const where = {
    ...{ config: join(folder, configFile), weights: isSharded ? index : weights },
    tokenizer: join(folder, tokenizerFile),
  };
  const source = pretrainedSource(where, content, beside, options);
  const { tensors, digest } = await readTensors(folder, source.check);
  return { model: source.load(tensors), digest };
}

/** The model of a GGUF file, which is read tensor by tensor, and a digest of what was read. */
async function loadGguf(path: string, options: ReadOptions): Promise<{ model: LoadedModel; digest: string }> {
  const where = `read ${path}`;
  const { file, size } = await openRegularFile('CHECKPOINT', where, path);
  const hash = createHash('sha256');
  const read = async (start: number, length: number) => {
    const bytes = new Uint8Array(length);
    const got = await readFully(file, bytes, start);
    if (got < length) {
      throw new PerformerError(
        'CHECKPOINT',
        `${where}: expected ${length} bytes from ${start}, got ${got}. Get the file again.`,
      );
    }
    hash.update(bytes);
    return bytes;
  };
  try {
    const model = await readGguf(path, { size, read }, options);
    return { model, digest: hash.digest('hex') };
  } catch (cause) {
    throw readError('CHECKPOINT', where, cause);
  } finally {
    await file.close();
  }
}

/**
 * The tensors of model.safetensors, or of the files that model.safetensors.index.json names, and a digest of them. `check` gets
 * names and shapes before any tensor is read. Throws CHECKPOINT for files that are missing, not sound or not those of the index.
 */
export async function readTensors(
  folder: string,
  check: (layout: ReadonlyMap<string, TensorLayout>) => void = () => undefined,
): Promise<{ readonly tensors: ReadonlyMap<string, AnyHostTensor>; readonly digest: string }> {
  const [weights, index] = [join(folder, weightsFile), join(folder, indexFile)];
  if (!(await isThere(index))) {
    if (!(await isThere(weights))) throw noWeights(folder);
    return readSafetensors(weights, check);
  }
  expectOneSource(folder, await isThere(weights));
  // What all files hold is compared with the index and the model before any tensor is read.
  const shards = [...shardsOf(index, await readJson(index))].map(
    ([name, names]) => [join(folder, name), names] as const,
  );
  const layouts: [string, TensorLayout][] = [];
  for (const [path, names] of shards) {
    const layout = await readSafetensorsLayout(path);
    checkShard(path, names, layout.keys());
    layouts.push(...layout);
  }
  check(new Map(layouts));
  const tensors = new Map<string, AnyHostTensor>();
  const digests: string[] = [];
  for (const [path, names] of shards) {
    const file = await readSafetensors(path, (layout) => checkShard(path, names, layout.keys()));
    for (const [tensor, values] of file.tensors) tensors.set(tensor, values);
    digests.push(file.digest);
  }
  return { tensors, digest: nodeDigest([new TextEncoder().encode(digests.join())]) };
}

function noWeights(folder: string): PerformerError {
  const expected = `${weightsFile}, or ${indexFile} with the files that it names`;
  const advice = 'Other files of weights, such as pytorch_model.bin, are not read: save them as safetensors.';
  return new PerformerError('CHECKPOINT', `${folder}: expected ${expected}, got neither. ${advice}`);
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, [jsonText(value)]);
}

/** What is written of a model. */
export type WrittenModel = Omit<LoadedModel, 'model'>;

/** Writes what a model folder has beside the weights: its config, its tokenizer and how it generates. */
export async function writeSettings(folder: string, config: ModelConfig): Promise<void> {
  const files = otherFilesOf(config, { tensors: new Map(), metadata: {} }, undefined);
  for (const [name, bytes] of files) await writeFileAtomic(join(folder, name), [bytes]);
}

/**
 * Writes the files of a model into a folder, and returns the SHA-256 of the file of its weights. Parameters may be kept as floats of
 * 16 bits, which must change none of them.
 */
export async function writeModel(
  folder: string,
  config: ModelConfig,
  { context, ...weights }: WrittenModel,
  dtype: WeightDtype = 'float32',
): Promise<string> {
  const file = weightsOf(config, weights, nodeDigest);
  const buffers = tensorsOf(weights.buffers);
  const dtypeOf = (name: string) => (buffers.has(name) ? 'float32' : dtype);
  const digest = await writeSafetensors(join(folder, weightsFile), file.tensors, file.metadata, dtypeOf);
  for (const [name, bytes] of otherFilesOf(config, file, context)) await writeFileAtomic(join(folder, name), [bytes]);
  return digest;
}

/**
 * Writes what an evaluation has shown of long texts beside the weights that were evaluated, in place of what stood there.
 * Throws CHECKPOINT where these keep no digest, as files of other origin do.
 */
export async function writeContext(folder: string, context: ContextRecord): Promise<void> {
  const weights = join(folder, weightsFile);
  const { metadata } = await readSafetensors(weights);
  const digest = metadata[digestKey];
  if (digest === undefined) {
    const advice = 'Load the model and save it again.';
    throw new PerformerError('CHECKPOINT', `${weights}: expected a digest of its tensors, got none. ${advice}`);
  }
  await writeJson(join(folder, contextFile), contextJson(context, digest));
}

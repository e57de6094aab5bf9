/**
 * Folders of other systems as models (see `pretrained/`): config.json, the weights in one file or in several with an index,
 * and beside them the tokenizer and the tokens that end a text. What is here knows no disk.
 */
import type { AnyHostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { optionNames } from '../base/options.js';
import { leavesOf } from '../base/tree.js';
import { type ImageSize, noTokenizer, tokenizerFile, tokenizerNamed, tokenizerNameOf } from '../data/index.js';
import { decodeSafetensors, expectFinite } from '../interop/index.js';
import {
  checkShard,
  indexFile,
  modulesFile,
  pixelScale,
  planTensors,
  preprocessorFile,
  pretrainedModel,
  sentenceFiles,
  sentenceVectors,
  shardsOf,
  type TensorLayout,
  translateTensors,
} from '../pretrained/index.js';
import { arrangeTensors, configFile, jsonOf, type LoadedModel, type ReadOptions, weightsFile } from './folder.js';
import type { ModelConfig } from './model.js';
import { modelConfig, modelFamily, modelOf } from './registry.js';
import { maxLengthOf, type TrunkConfig } from './trunk-options.js';

/** The settings of generation beside a model. */
export const generationFile = 'generation_config.json';

/** What lies in a folder beside the config and the weights. */
export interface Beside {
  /** The name of its tokenizer, which must be known; `none` unless given. */
  readonly tokenizer?: string | undefined;
  /** The content of the other files, by name. */
  readonly content: ReadonlyMap<string, unknown>;
}

/** The other files that are read where they are there, of a folder whose modules.json has this content. */
export function filesBeside(modules: unknown): readonly string[] {
  return [generationFile, preprocessorFile, ...(modules === undefined ? [] : sentenceFiles(modules))];
}

/** A model of another system by its config.json: ours, and how its tensors become parameters. */
export interface PretrainedSource {
  /** Throws CHECKPOINT unless the tensors are those of the model, before their values are read. */
  check(layout: ReadonlyMap<string, TensorLayout>): void;
  /** The model of the tensors. */
  load(tensors: ReadonlyMap<string, AnyHostTensor>): LoadedModel;
}

/** Where the files of a folder are, for errors. */
interface Places {
  readonly config: string;
  readonly weights: string;
  readonly tokenizer: string;
}

/** Reads the content of a config.json that `isPretrained`. Throws CONFIG or CHECKPOINT for what is not understood. */
export function pretrainedSource(
  where: Places,
  content: Readonly<Record<string, unknown>>,
  beside: Beside,
  { onNote }: ReadOptions = {},
): PretrainedSource {
  const read = pretrainedModel(where.config, content);
  const model = modelOf(withBeside(where, content, read.options, beside));
  const leaves = [model.params, model.buffers].flatMap((tree) => leavesOf<object, TensorLayout>(tree));
  const shapes = new Map(leaves.map(([path, { shape }]) => [path, shape]));
  const plan = (layout: ReadonlyMap<string, TensorLayout>) =>
    planTensors(where.weights, read, layout, { shapes, depth: model.config.depth });
  return {
    check: plan,
    load(tensors) {
      const own = plan(tensors);
      const params = translateTensors(where.weights, own, tensors, shapes);
      expectFinite(where.weights, new Map([...own.taken.keys()].map((name) => [name, tensors.get(name)!])));
      for (const name of own.unused) onNote?.(`${where.weights}: ${name} is left out, as the model has no such part.`);
      const unread = unreadNote(where, model.config);
      if (unread !== undefined) onNote?.(unread);
      for (const path of own.begun) onNote?.(`${where.weights}: ${path} is 0, as nothing says more. Train it.`);
      return { model, ...arrangeTensors(where.weights, model, params) };
    },
  };
}

/** Vocabularies are padded by some hundred tokens beyond the tokenizer's; undefined up to a tenth. */
function unreadNote({ tokenizer: where }: Places, { tokenizer, vocabularySize = 0 }: ModelConfig): string | undefined {
  if (tokenizer === undefined || tokenizer === noTokenizer.name) return undefined;
  const known = tokenizerNamed(tokenizer).vocabularySize;
  if (known >= 0.9 * vocabularySize) return undefined;
  return `${where}: has ${known} tokens, and the model ${vocabularySize}. Make sure that it belongs to the model.`;
}

/** The config of a model with its tokenizer and the tokens that end its texts. */
function withBeside(
  where: Places,
  content: Readonly<Record<string, unknown>>,
  options: object,
  { tokenizer: name = noTokenizer.name, content: others }: Beside,
): ModelConfig {
  const tokenizer = tokenizerNamed(name);
  const { model, vocabularySize = 0 } = options as Partial<ModelConfig> & { readonly model: string };
  const names = optionNames(modelFamily(model).schema);
  const ends = [others.get(generationFile), content]
    .map((each) => endTokensOf(each, vocabularySize))
    .find((own) => own.length > 0);
  const { image } = options as { readonly image?: ImageSize };
  const own = {
    pixels: image && pixelScale(others.get(preprocessorFile), image),
    tokenizer: name,
    framed: tokenizer.frame === undefined ? undefined : true,
    endTokens: ends,
    vectors: sentenceVectors((file) => others.get(file), maxLengthOf(options as TrunkConfig)),
  };
  const fitting = Object.entries(own).filter(([key, value]) => names.includes(key) && value !== undefined);
  const config = modelConfig({ ...options, ...Object.fromEntries(fitting) }, where.config);
  if (config.tokenizer === undefined || tokenizer.vocabularySize <= vocabularySize) return config;
  const got = `${tokenizer.vocabularySize}. Get the file that belongs to the model.`;
  throw new PerformerError(
    'CHECKPOINT',
    `${where.tokenizer}: expected at most ${vocabularySize} tokens, which ${where.config} says in vocab_size, got ${got}`,
  );
}

/** The tokens of `eos_token_id`, one or a list, that the model has: others it cannot write. */
function endTokensOf(content: unknown, vocabularySize: number): readonly number[] {
  const { eos_token_id: given } = Object(content) as { readonly eos_token_id?: unknown };
  return (Array.isArray(given) ? given : [given]).filter(
    (token) => Number.isInteger(token) && token >= 0 && token < vocabularySize,
  );
}

/** The model of files in memory, of which config.json has this content. Its tokenizer must be known. */
export function decodePretrained(
  files: ReadonlyMap<string, Uint8Array>,
  content: Readonly<Record<string, unknown>>,
  options: ReadOptions,
): LoadedModel {
  const json = (name: string) => {
    const bytes = files.get(name);
    return bytes && jsonOf(name, bytes);
  };
  const index = json(indexFile);
  const where = {
    ...{ config: configFile, tokenizer: tokenizerFile },
    weights: index === undefined ? weightsFile : indexFile,
  };
  const modules = json(modulesFile);
  const others = filesBeside(modules).map((name) => [name, json(name)] as const);
  const beside = { tokenizer: tokenizerNameOf(files), content: new Map([[modulesFile, modules], ...others]) };
  const source = pretrainedSource(where, content, beside, options);
  const tensorsOf = (name: string) => {
    const bytes = files.get(name);
    if (bytes !== undefined) return decodeSafetensors(name, bytes).tensors;
    const got = [...files.keys()].join(', ');
    throw new PerformerError('CHECKPOINT', `decodeModel: expected the file ${name}, got ${got}.`);
  };
  if (index === undefined) return source.load(tensorsOf(weightsFile));
  expectOneSource('decodeModel', files.has(weightsFile));
  const tensors = [...shardsOf(indexFile, index)].flatMap(([name, names]) => {
    const own = tensorsOf(name);
    checkShard(name, names, own.keys());
    return [...own];
  });
  return source.load(new Map(tensors));
}

/** Throws CHECKPOINT where weights stand beside an index of other files. */
export function expectOneSource(where: string, hasWeights: boolean): void {
  if (!hasWeights) return;
  const got = `both ${weightsFile} and ${indexFile}`;
  throw new PerformerError('CHECKPOINT', `${where}: expected one source of weights, got ${got}. Remove one of them.`);
}

/**
 * A model folder, as Hugging Face has it: config.json and model.safetensors, with tokenizer.json and
 * generation_config.json beside them. What is here knows no files: a folder is a map from names to bytes, and Node's own
 * reading and writing (`node-folder.ts`) goes through the same checks.
 */
import type { AnyHostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { type Leaf, leavesOf, treeFromLeaves } from '../base/tree.js';
import { tokenizerConfigFile, tokenizerFile, tokenizerNamed } from '../data/index.js';
import { digestOf, encodeSafetensors, expectFinite, type Safetensors } from '../interop/index.js';
import { type ContextRecord, contextFile, contextJson, contextOf } from './context.js';
import type { Model, ModelConfig, ModelWeights } from './model.js';
import { modelConfig, modelOf } from './registry.js';
import { neededTokens } from './tokenizer.js';

/** A model with its weights. */
export interface LoadedModel extends ModelWeights {
  readonly model: Model;
  /** What an evaluation of these weights has shown of long texts; of language models. */
  readonly context?: ContextRecord | undefined;
}

export const weightsFile = 'model.safetensors';
export const configFile = 'config.json';
/** Which config.json the tensors belong to, in the metadata of model.safetensors. */
export const digestKey = 'sha256';

/** The files of a model; config.json comes last, as it says that there is one. */
export const modelFiles = [
  ...[weightsFile, tokenizerFile, tokenizerConfigFile, 'generation_config.json', contextFile],
  configFile,
];

/** How bytes are digested: where Node is, its own hash is ten times as fast as what runs everywhere. */
export type Digest = (chunks: Iterable<Uint8Array>) => string;

/** How a model folder is read. */
export interface ReadOptions {
  /** Told what a reader should know and no error is: that files of other origin keep no digest. */
  readonly onNote?: ((note: string) => void) | undefined;
}

type Layout = Pick<Leaf, 'dtype' | 'shape'>;

/** The tensors of a file as parameters and buffers. Throws CHECKPOINT unless they have the names and shapes of the model. */
export function arrangeTensors<L extends Layout>(
  where: string,
  model: Model,
  tensors: ReadonlyMap<string, L>,
): { readonly params: object; readonly buffers: object } {
  checkListed(where, tensors, 'blocks', model.config.depth);
  const names = new Set(leavesOf(model.buffers).map(([name]) => name));
  const pick = (isBuffer: boolean) => new Map([...tensors].filter(([name]) => names.has(name) === isBuffer));
  return {
    buffers: treeFromLeaves(where, model.buffers, pick(true) as ReadonlyMap<string, Leaf>),
    params: treeFromLeaves(where, model.params, pick(false) as ReadonlyMap<string, Leaf>),
  };
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

/** What a model is read with beside its two files. */
interface OtherContent {
  readonly digest?: Digest | undefined;
  /** The content of context.json, where there is one. */
  readonly context?: { readonly where: string; readonly content: unknown } | undefined;
}

/**
 * A model from the content of its two files. Throws CONFIG or CHECKPOINT where they are not a model, not whole, not as
 * they were saved together, or hold a number that is not finite.
 */
export function modelFromFiles(
  where: { readonly config: string; readonly weights: string },
  content: unknown,
  { tensors, metadata }: Safetensors,
  { digest = digestOf, onNote, context }: ReadOptions & OtherContent = {},
): LoadedModel {
  const model = modelOf(modelConfig(content, where.config));
  const kept = metadata[digestKey];
  if (kept !== undefined && kept !== boundDigest(content, tensors, digest)) {
    throw new PerformerError(
      'CHECKPOINT',
      `${where.weights}: expected the tensors and the config.json that were saved together, with the SHA-256 ${kept}, got others. ` +
        'A file is damaged or of another model; get the whole folder again.',
    );
  }
  expectFinite(where.weights, tensors);
  const arranged = arrangeTensors(where.weights, model, tensors);
  if (kept === undefined)
    onNote?.(`${where.weights}: nothing tells whether it is as it was saved, as no digest was kept.`);
  return { model, ...arranged, context: context && contextOf(context.where, context.content, kept) };
}

/** What model.safetensors holds of a model: its tensors, and the metadata that bind them to its config.json. */
export function weightsOf(
  config: ModelConfig,
  { params, buffers }: ModelWeights,
  digest: Digest = digestOf,
): Safetensors {
  const tensors = new Map([...tensorsOf(params), ...tensorsOf(buffers)]);
  const metadata = { format: 'pt', producer: 'performer-ts', [digestKey]: boundDigest(config, tensors, digest) };
  return { tensors, metadata };
}

/** The other files of a model folder, by name. */
export function otherFilesOf(
  config: ModelConfig,
  { metadata }: Safetensors,
  context: ContextRecord | undefined,
): ReadonlyMap<string, Uint8Array> {
  const tokenizer = config.tokenizer === undefined ? undefined : tokenizerNamed(config.tokenizer);
  const sampling = 'image' in config ? { temperature: 1 } : { temperature: 0.8, top_p: 0.95 };
  // The tokenizer of a model that came from elsewhere is not one of ours.
  const isWritten =
    tokenizer !== undefined && tokenizer.files === undefined && neededTokens(config) === config.vocabularySize;
  const { endTokens: ends = [tokenizer?.special?.end].filter((token) => token !== undefined) } = config;
  const values = {
    ...(isWritten && { [tokenizerFile]: tokenizer.json() }),
    ...(tokenizer && {
      'generation_config.json': {
        ...sampling,
        ...(ends.length > 0 && { eos_token_id: ends.length === 1 ? ends[0] : ends }),
      },
    }),
    ...(context && { [contextFile]: contextJson(context, metadata[digestKey] as string) }),
    [configFile]: config,
  };
  const encoder = new TextEncoder();
  const written = Object.entries(values).map(([name, value]) => [name, encoder.encode(jsonText(value))] as const);
  return new Map([...(tokenizer?.files?.() ?? []), ...written]);
}

/** SHA-256 of tensors in the order of their names, and of a configuration with its keys in the order of its file. */
function boundDigest(config: unknown, tensors: ReadonlyMap<string, AnyHostTensor>, digest: Digest): string {
  return digest(encodeSafetensors(tensors, { config: JSON.stringify(config) }));
}

/** The tensors of a tree by their paths. */
export function tensorsOf(tree: object): Map<string, AnyHostTensor> {
  return new Map(leavesOf(tree) as [string, AnyHostTensor][]);
}

/** The files of a model folder by name, to be kept or sent anywhere. */
export function encodeModel({ model, context, ...weights }: LoadedModel): Map<string, Uint8Array> {
  const file = weightsOf(model.config, weights);
  const files = new Map([[weightsFile, joined(encodeSafetensors(file.tensors, file.metadata))]]);
  for (const [name, bytes] of otherFilesOf(model.config, file, context)) files.set(name, bytes);
  return files;
}

/** The value of a file of JSON. Throws CHECKPOINT for other text. */
export function jsonOf(where: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new PerformerError('CHECKPOINT', `${where}: expected JSON, got other text. Get the file again.`, { cause });
  }
}

/** Throws CHECKPOINT unless the content of a tokenizer.json is that of the tokenizer which the config names. */
export function checkTokenizer(where: string, { tokenizer }: ModelConfig, content: unknown): void {
  if (tokenizer === undefined) return;
  if (sortedJson(content) === sortedJson(tokenizerNamed(tokenizer).json())) return;
  const advice = `Get the whole folder again, or register the ${tokenizer} with which it was saved.`;
  throw new PerformerError(
    'CHECKPOINT',
    `${where}: expected that of the tokenizer ${tokenizer} as it is registered, got another. ${advice}`,
  );
}

/** A value as JSON with the keys of every object in order. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** A value as the text of a JSON file. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

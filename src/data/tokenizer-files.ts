/**
 * Tokenizers from files: a `tokenizer.json` as Hugging Face has it, and the `tokenizer_config.json` beside it. They are
 * named after the SHA-256 of their files, so that a model's config tells one from another, and nobody has to name them.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { PerformerError } from '../base/errors.js';
import type { Tokenizer } from './tokenizer.js';
import { knownTokenizer, registerTokenizer } from './tokenizer-registry.js';

/** The bytes of a `tokenizer.json`, its content, or files by name, of which `tokenizer_config.json` may be another. */
export type TokenizerFiles = Uint8Array | ReadonlyMap<string, Uint8Array> | Readonly<Record<string, unknown>>;

/** The file of a tokenizer in a folder. */
export const tokenizerFile = 'tokenizer.json';
/** The file beside it that names special tokens. */
export const tokenizerConfigFile = 'tokenizer_config.json';

const prefix = 'tokenizer.json:';

/** Whether a name is that of a tokenizer from a file. */
export function isFromFile(name: unknown): name is string {
  return typeof name === 'string' && name.startsWith(prefix);
}

/**
 * The tokenizer of a `tokenizer.json`: BPE, WordPiece or Unigram, with the tokens that `@huggingface/tokenizers` gives. It is
 * registered under its name, which follows from its files, so that models can have it: `tokenizer: own.name`. Bytes that
 * are no UTF-8 are read as U+FFFD.
 *
 * @param folder how errors name the place of the files; nothing unless given.
 * @throws CHECKPOINT with the file and the field for what is no tokenizer, and for one that is not supported.
 */
export async function huggingFaceTokenizer(files: TokenizerFiles, folder = ''): Promise<Tokenizer> {
  const { tokenizer, config } = filesOf(files);
  const where = { tokenizer: `${folder}${tokenizerFile}`, config: `${folder}${tokenizerConfigFile}` };
  if (tokenizer === undefined) {
    throw new PerformerError('CHECKPOINT', `${where.tokenizer}: expected the file, got none. Give its bytes.`);
  }
  const name = nameOf(tokenizer, config);
  const known = knownTokenizer(name);
  if (known !== undefined) return known;
  const { buildTokenizer } = await import('./hugging-face/tokenizer.js');
  const built = buildTokenizer(name, { where, tokenizer, config });
  if (knownTokenizer(name) === undefined) registerTokenizer(built);
  return built;
}

function nameOf(tokenizer: Uint8Array, config: Uint8Array | undefined): string {
  const hash = sha256.create().update(tokenizer);
  if (config !== undefined) hash.update(Uint8Array.of(0)).update(config); // no JSON has this byte
  return `${prefix}${bytesToHex(hash.digest()).slice(0, 16)}`;
}

/** The name of the tokenizer of such files, which need not be known; undefined where there is no tokenizer.json. */
export function tokenizerNameOf(files: ReadonlyMap<string, Uint8Array>): string | undefined {
  const tokenizer = files.get(tokenizerFile);
  return tokenizer && nameOf(tokenizer, files.get(tokenizerConfigFile));
}

function filesOf(files: TokenizerFiles): {
  readonly tokenizer?: Uint8Array | undefined;
  readonly config?: Uint8Array | undefined;
} {
  if (files instanceof Uint8Array) return { tokenizer: files };
  if (files instanceof Map) return { tokenizer: files.get(tokenizerFile), config: files.get(tokenizerConfigFile) };
  return { tokenizer: new TextEncoder().encode(JSON.stringify(files)) };
}

/**
 * Makes the tokenizer known that a model folder keeps, where its config names one from a file; nothing for others. Whoever reads a folder calls
 * it before `modelConfig` or `decodeModel`.
 *
 * @param config the content of config.json.
 * @param read the files of a tokenizer that the folder has.
 * @throws CHECKPOINT where the files are not those with which the model was saved, or none.
 */
export async function openTokenizer(
  config: unknown,
  read: () => Promise<ReadonlyMap<string, Uint8Array>>,
  folder = '',
): Promise<void> {
  const { tokenizer: name } = Object(config) as { readonly tokenizer?: unknown };
  if (!isFromFile(name)) return;
  const files = await read();
  if (files.size === 0 && knownTokenizer(name) !== undefined) return;
  const found = await huggingFaceTokenizer(files, folder);
  if (found.name === name) return;
  throw new PerformerError(
    'CHECKPOINT',
    `${folder}${tokenizerFile}: expected that with which the model was saved, ${name}, got ${found.name}. Get the whole folder again.`,
  );
}

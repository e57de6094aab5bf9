/**
 * The content of a `tokenizer.json`, checked before it is used: a file that other software wrote, or that is damaged, is one
 * error that names the field. What the library `@huggingface/tokenizers` would pass over in silence is refused, too.
 */
import * as z from 'zod';
import { PerformerError } from '../../base/errors.js';
import { jsonBounds } from '../../base/json-bounds.js';
import { describeIssues } from '../../base/options.js';

/** Bytes of a file at most; the largest of well-known models has 34 million. */
const largestFile = 2 ** 27;
const deepestFile = 64;
const id = z
  .int()
  .min(0)
  .max(2 ** 24);

const pattern = z.union([z.strictObject({ String: z.string().min(1) }), z.strictObject({ Regex: z.string().min(1) })]);
const isUnset = (expected: string) => z.union([z.literal(false), z.null()], `expected ${expected}`).optional();

const part = <const N extends string, S extends z.ZodRawShape>(type: N, shape: S) =>
  z.looseObject({ type: z.literal(type), ...shape });

const flag = z.boolean().nullish();

const normalizer: z.ZodType<Part> = z.lazy(() =>
  z.discriminatedUnion('type', [
    part('BertNormalizer', { clean_text: flag, handle_chinese_chars: flag, strip_accents: flag, lowercase: flag }),
    part('Precompiled', { precompiled_charsmap: z.string().nullish() }),
    part('Sequence', { normalizers: z.array(normalizer) }),
    part('Replace', { pattern, content: z.string() }),
    ...(['NFC', 'NFD', 'NFKC', 'NFKD', 'StripAccents', 'Lowercase'] as const).map((type) => part(type, {})),
    part('Strip', { strip_left: flag, strip_right: flag }),
    part('Prepend', { prepend: z.string() }),
  ]),
);

const preTokenizer: z.ZodType<Part> = z.lazy(() =>
  z.discriminatedUnion('type', [
    part('Sequence', { pretokenizers: z.array(preTokenizer) }),
    ...(['BertPreTokenizer', 'Whitespace', 'WhitespaceSplit'] as const).map((type) => part(type, {})),
    part('Metaspace', {
      replacement: z.string().min(1),
      prepend_scheme: z.enum(['always', 'first', 'never']).nullish(),
    }),
    part('ByteLevel', { add_prefix_space: flag, use_regex: flag }),
    part('Split', { pattern, behavior: z.string(), invert: flag }),
    part('Punctuation', { behavior: z.literal('Isolated').nullish() }),
    part('Digits', { individual_digits: flag }),
    part('Replace', { pattern, content: z.string() }),
    part('FixedLength', { length: z.int().min(1) }),
  ]),
);

const pair = z.tuple([z.string(), id]);
const template = z.array(
  z.union([
    z.strictObject({ SpecialToken: z.looseObject({ id: z.string() }) }),
    z.strictObject({ Sequence: z.looseObject({ id: z.enum(['A', 'B']) }) }),
  ]),
);
const postProcessor: z.ZodType<Part> = z.lazy(() =>
  z.discriminatedUnion('type', [
    part('TemplateProcessing', { single: template, pair: template.nullish() }),
    part('ByteLevel', {}),
    part('BertProcessing', { cls: pair, sep: pair }),
    part('RobertaProcessing', { cls: pair, sep: pair }),
    part('Sequence', { processors: z.array(postProcessor) }),
  ]),
);

const decoder: z.ZodType<DecoderPart> = z.lazy(() =>
  z.discriminatedUnion('type', [
    part('ByteLevel', {}),
    part('WordPiece', { prefix: z.string(), cleanup: z.boolean() }),
    part('Metaspace', { replacement: z.string().min(1), prepend_scheme: z.string().nullish() }),
    part('BPEDecoder', { suffix: z.string().min(1) }),
    part('Sequence', { decoders: z.array(decoder) }),
    part('Replace', { pattern, content: z.string() }),
    part('Fuse', {}),
    part('Strip', { content: z.string().length(1), start: z.int().min(0), stop: z.int().min(0) }),
    part('ByteFallback', {}),
  ]),
) as z.ZodType<DecoderPart>;

const addedToken = z.looseObject({
  id,
  content: z.string().min(1),
  single_word: isUnset('false, as tokens that are single words are not supported'),
  lstrip: flag,
  rstrip: flag,
  normalized: flag,
  special: flag,
});

const own = { dropout: z.union([z.literal(0), z.null()], 'expected none, as it is not supported').optional() };
const word = z.string().nullish();
const model = z.discriminatedUnion('type', [
  part('BPE', {
    ...own,
    vocab: z.unknown(),
    merges: z.unknown(),
    unk_token: word,
    continuing_subword_prefix: z.union([z.literal(''), z.null()], 'expected none, as it is not supported').optional(),
    end_of_word_suffix: word,
    fuse_unk: flag,
    byte_fallback: flag,
    ignore_merges: flag,
  }),
  part('WordPiece', {
    vocab: z.unknown(),
    unk_token: z.string(),
    continuing_subword_prefix: z.string(),
    max_input_chars_per_word: z.int().min(1).nullish(),
  }),
  part('Unigram', { vocab: z.unknown(), unk_id: id, byte_fallback: flag }),
]);

const fileSchema = z.looseObject({
  model,
  added_tokens: z.array(addedToken).nullish(),
  normalizer: normalizer.nullish(),
  pre_tokenizer: preTokenizer.nullish(),
  post_processor: postProcessor.nullish(),
  decoder: decoder.nullish(),
});

/** A part of the file: its type, and what that type has. */
export interface Part {
  readonly type: string;
}

/** A pattern that is replaced. */
export type Pattern = z.output<typeof pattern>;

/** What turns tokens into text. */
export type DecoderPart =
  | { readonly type: 'ByteLevel' | 'Fuse' | 'ByteFallback' }
  | { readonly type: 'WordPiece'; readonly prefix: string; readonly cleanup: boolean }
  | { readonly type: 'Metaspace'; readonly replacement: string; readonly prepend_scheme?: string | null | undefined }
  | { readonly type: 'BPEDecoder'; readonly suffix: string }
  | { readonly type: 'Sequence'; readonly decoders: readonly DecoderPart[] }
  | { readonly type: 'Replace'; readonly pattern: Pattern; readonly content: string }
  | { readonly type: 'Strip'; readonly content: string; readonly start: number; readonly stop: number };

/** The content of a `tokenizer.json` that was checked. */
export type TokenizerContent = z.output<typeof fileSchema>;

function refuse(where: string, expected: string, got: string): never {
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${got}. Get the file again.`);
}

/** The value of a file of JSON. Throws CHECKPOINT for other text, and for one that is too large or too deep. */
export function parseFile(where: string, bytes: Uint8Array): unknown {
  if (bytes.length > largestFile) refuse(where, `at most ${largestFile} bytes`, `${bytes.length}`);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (jsonBounds(text).depth > deepestFile) throw new Error(`nested more than ${deepestFile} deep`);
    return JSON.parse(text);
  } catch (cause) {
    throw new PerformerError('CHECKPOINT', `${where}: expected JSON, got other text. Get the file again.`, { cause });
  }
}

/**
 * Checks the content of a `tokenizer.json`, and gives the tokens by their numbers.
 *
 * @throws CHECKPOINT with the first field that is wrong.
 */
export function checkContent(
  where: string,
  value: unknown,
): { readonly content: TokenizerContent; readonly tokens: readonly string[] } {
  const parsed = fileSchema.safeParse(value);
  if (!parsed.success) {
    const got = describeIssues(parsed.error).slice(0, 500);
    throw new PerformerError('CHECKPOINT', `${where}: expected the content of a tokenizer.json, got ${got}.`);
  }
  const { data: content } = parsed;
  const tokens = tokensOf(where, content);
  const ids = new Map(tokens.map((token, index) => [token, index]));
  checkModel(where, content.model, ids);
  for (const [index, token] of frameTokens(content.post_processor).entries()) {
    if (!ids.has(token))
      refuse(`${where}: post_processor`, 'tokens of the vocabulary', `${told(token)} as its ${index + 1}.`);
  }
  return { content, tokens };
}

const told = (value: unknown) => (JSON.stringify(value) ?? 'nothing').slice(0, 80);

/** The tokens of the model and those that were added, in the order of their numbers. */
function tokensOf(where: string, { model: { type, vocab }, added_tokens: added }: TokenizerContent): readonly string[] {
  const entries = type === 'Unigram' ? listedTokens(where, vocab) : namedTokens(where, vocab);
  const ids = new Map<string, number>();
  const tokens: string[] = [];
  const take = (field: string, token: string, number: number) => {
    const known = ids.get(token);
    if (known !== undefined && known !== number) refuse(field, `${told(token)} as token ${known}`, `${number}`);
    if (known === undefined && tokens[number] !== undefined) {
      refuse(field, `a number of its own for ${told(token)}`, `${number}, which is ${told(tokens[number])}`);
    }
    ids.set(token, number);
    tokens[number] = token;
  };
  for (const [token, number] of entries) take(`${where}: model.vocab`, token, number);
  for (const [index, { content, id: number }] of (added ?? []).entries()) {
    take(`${where}: added_tokens.${index}`, content, number);
  }
  if (tokens.length !== ids.size) {
    const missing = Array.from(tokens.keys()).find((number) => tokens[number] === undefined);
    refuse(`${where}: model.vocab`, `numbers from 0 to ${tokens.length - 1} without a gap`, `none for ${missing}`);
  }
  return tokens;
}

function namedTokens(where: string, vocab: unknown): readonly (readonly [string, number])[] {
  const field = `${where}: model.vocab`;
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) refuse(field, 'an object', told(vocab));
  const entries = Object.entries(vocab as object) as [string, unknown][];
  if (entries.length === 0) refuse(field, 'tokens', 'none');
  for (const [token, number] of entries) {
    if (!id.safeParse(number).success) refuse(field, `a whole number for ${told(token)}`, told(number));
  }
  return entries as [string, number][];
}

function listedTokens(where: string, vocab: unknown): readonly (readonly [string, number])[] {
  const field = `${where}: model.vocab`;
  if (!Array.isArray(vocab)) refuse(field, 'a list', told(vocab));
  const list = vocab as readonly unknown[];
  if (list.length === 0) refuse(field, 'tokens', 'none');
  return list.map((entry, index) => {
    const [token, score] = Array.isArray(entry) && entry.length === 2 ? (entry as unknown[]) : [];
    if (typeof token === 'string' && token !== '' && Number.isFinite(score)) return [token, index] as const;
    return refuse(`${field}.${index}`, 'a token and its score', told(entry));
  });
}

function checkModel(where: string, own: TokenizerContent['model'], ids: ReadonlyMap<string, number>): void {
  if (own.type === 'Unigram') {
    const { length } = own.vocab as readonly unknown[];
    if (own.unk_id >= length) refuse(`${where}: model.unk_id`, `one of ${length} tokens`, `${own.unk_id}`);
    return;
  }
  const { unk_token: unknown } = own;
  if (typeof unknown === 'string' && !ids.has(unknown)) {
    refuse(`${where}: model.unk_token`, 'a token of the vocabulary', told(unknown));
  }
  if (own.type !== 'BPE') return;
  const field = `${where}: model.merges`;
  if (!Array.isArray(own.merges)) refuse(field, 'a list', told(own.merges));
  const isText = typeof (own.merges as readonly unknown[])[0] === 'string';
  for (const [index, merge] of (own.merges as readonly unknown[]).entries()) {
    const parts = isText && typeof merge === 'string' ? merge.split(' ') : isText ? [] : merge;
    const isPair = Array.isArray(parts) && parts.length === 2 && parts.every((each) => typeof each === 'string');
    if (!isPair) refuse(`${field}.${index}`, 'two tokens, as the first has them', told(merge));
    const [left, right] = parts as [string, string];
    const missing = [left, right, left + right].find((token) => !ids.has(token));
    if (missing !== undefined) refuse(`${field}.${index}`, 'tokens of the vocabulary', told(missing));
  }
}

/** The tokens that a post-processor sets around a text. */
function frameTokens(own: Part | null | undefined): readonly string[] {
  const { type, processors, single, cls, sep } = (own ?? {}) as {
    readonly type?: string;
    readonly processors?: readonly Part[];
    readonly single?: z.output<typeof template>;
    readonly cls?: readonly [string, number];
    readonly sep?: readonly [string, number];
  };
  if (type === 'Sequence') return (processors ?? []).flatMap(frameTokens);
  if (cls !== undefined && sep !== undefined) return [cls[0], sep[0]];
  return (single ?? []).flatMap((item) => ('SpecialToken' in item ? [item.SpecialToken.id] : []));
}

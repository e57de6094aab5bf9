/**
 * The tokenizer of a GGUF file as a tokenizer.json and a tokenizer_config.json: byte-level BPE (gpt2), and SentencePiece's BPE
 * (llama), whose merges follow from the scores of its pieces.
 */
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';
import type { GgufValue } from '../interop/index.js';

type Metadata = ReadonlyMap<string, GgufValue>;

/** The patterns at which texts are split before BPE, by the name of the splitting in the file. */
const wordsOf = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const llama3 = { pattern: wordsOf('\\p{N}{1,3}'), ignoresMerges: true, begins: true };
const splittings: Readonly<
  Record<string, { pattern?: string; digits?: boolean; ignoresMerges?: boolean; begins?: boolean }>
> = {
  'gpt-2': {},
  'llama-bpe': llama3,
  llama3: llama3,
  'llama-v3': llama3,
  qwen2: { pattern: wordsOf('\\p{N}') },
  smollm: { digits: true },
};

/** Kinds of tokens, by their numbers in the file. */
const [normal, unknown, control, ofUser] = [1, 2, 3, 4] as const;

interface Vocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

/**
 * The files of the tokenizer by their names.
 *
 * @returns undefined where the file has none.
 * @throws CHECKPOINT for one that is not understood.
 */
export function ggufTokenizer(where: string, metadata: Metadata): ReadonlyMap<string, Uint8Array> | undefined {
  const kind = metadata.get('tokenizer.ggml.model');
  if (kind === undefined || kind === 'no_vocab') return undefined;
  const tokens = listOf<string>(where, metadata, 'tokens', 'string');
  const types = listOf<number>(where, metadata, 'token_type', 'number', tokens.length);
  const own = { tokens, types };
  const named = (name: string) => tokenNamed(where, metadata, tokens, name);
  const flag = (name: string) => metadata.get(`tokenizer.ggml.${name}`);
  const isPieces = kind === 'llama';
  if (!isPieces && kind !== 'gpt2') refuse(where, 'tokenizer.ggml.model of gpt2 or llama', kind);
  const { begins, ...parts } = isPieces ? pieceParts(where, metadata, own) : byteParts(where, metadata, own);
  const begin = (flag('add_bos_token') ?? begins) ? named('bos_token_id') : undefined;
  const end = flag('add_eos_token') === true ? named('eos_token_id') : undefined;
  const special = (content: string) => [{ SpecialToken: { id: content, type_id: 0 } }];
  const whole = { Sequence: { id: 'A', type_id: 0 } };
  const framed = [...(begin ? special(begin) : []), whole, ...(end ? special(end) : [])];
  const content = {
    version: '1.0',
    added_tokens: addedTokens(own),
    ...parts,
    post_processor: framed.length === 1 ? null : templateOf(framed, tokens),
  };
  const names = { bos_token: 'bos_token_id', eos_token: 'eos_token_id', pad_token: 'padding_token_id' };
  const config = Object.entries(names).flatMap(([key, id]) => {
    const token = named(id);
    return token === undefined ? [] : [[key, token]];
  });
  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  return new Map([
    ['tokenizer.json', bytes(content)],
    ['tokenizer_config.json', bytes(Object.fromEntries(config))],
  ]);
}

function templateOf(single: readonly object[], tokens: readonly string[]): object {
  const used = single.flatMap((part) => ('SpecialToken' in part ? [(part.SpecialToken as { id: string }).id] : []));
  const special = used.map((id) => [id, { id, ids: [tokens.indexOf(id)], tokens: [id] }]);
  return { type: 'TemplateProcessing', single, pair: single, special_tokens: Object.fromEntries(special) };
}

function addedTokens({ tokens, types }: Vocabulary): readonly object[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    if (type !== control && type !== ofUser && type !== unknown) return [];
    const shared = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...shared, special: type !== ofUser }];
  });
}

function byteParts(where: string, metadata: Metadata, { tokens }: Vocabulary) {
  const name = metadata.get('tokenizer.ggml.pre') ?? 'gpt-2';
  const known = typeof name === 'string' && Object.hasOwn(splittings, name) ? splittings[name] : undefined;
  if (known === undefined) refuse(where, `tokenizer.ggml.pre of ${Object.keys(splittings).join(', ')}`, name);
  const { pattern, digits, ignoresMerges = false, begins = false } = known;
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false };
  const before = [
    ...(digits ? [{ type: 'Digits', individual_digits: true }] : []),
    ...(pattern ? [{ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }] : []),
    { ...byteLevel, use_regex: pattern === undefined },
  ];
  return {
    begins,
    model: {
      type: 'BPE',
      vocab: vocabularyOf(tokens),
      merges: listOf<string>(where, metadata, 'merges', 'string'),
      ignore_merges: ignoresMerges,
    },
    pre_tokenizer: { type: 'Sequence', pretokenizers: before },
    decoder: byteLevel,
  };
}

function pieceParts(where: string, metadata: Metadata, vocabulary: Vocabulary) {
  const scores = listOf<number>(where, metadata, 'scores', 'number', vocabulary.tokens.length);
  const hasPrefix = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const space = '▁';
  const ofSpace = { type: 'Replace', pattern: { String: ' ' }, content: space };
  return {
    begins: true,
    model: {
      type: 'BPE',
      vocab: vocabularyOf(vocabulary.tokens),
      merges: mergesOf(vocabulary, scores),
      ...{ byte_fallback: true, fuse_unk: true, unk_token: vocabulary.tokens[vocabulary.types.indexOf(unknown)] },
    },
    normalizer: hasPrefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: space }, ofSpace] } : ofSpace,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: space }, content: ' ' },
        ...[{ type: 'ByteFallback' }, { type: 'Fuse' }],
        ...(hasPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
  };
}

/** Every way to join two pieces to a third one, the best piece first, as SentencePiece joins them. */
function mergesOf({ tokens, types }: Vocabulary, scores: readonly number[]): readonly string[][] {
  const pieces = new Set(tokens.filter((_, id) => types[id] === normal));
  const order = [...tokens.keys()]
    .filter((id) => types[id] === normal)
    .sort((a, b) => scores[b]! - scores[a]! || a - b);
  return order.flatMap((id) => {
    const characters = Array.from(tokens[id]!);
    return characters.slice(1).flatMap((_, at) => {
      const pair = [characters.slice(0, at + 1).join(''), characters.slice(at + 1).join('')];
      return pair.every((part) => pieces.has(part)) ? [pair] : [];
    });
  });
}

function vocabularyOf(tokens: readonly string[]): object {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function listOf<T>(
  where: string,
  metadata: Metadata,
  name: string,
  type: 'string' | 'number',
  length?: number,
): readonly T[] {
  const value = metadata.get(`tokenizer.ggml.${name}`);
  const count = length === undefined ? '' : `${length} `;
  if (!Array.isArray(value) || (length !== undefined && value.length !== length)) {
    refuse(where, `a list of ${count}in tokenizer.ggml.${name}`, Array.isArray(value) ? String(value.length) : 'none');
  }
  const wrong = value.find((each) => typeof each !== type);
  if (wrong !== undefined) refuse(where, `values of the type ${type} in tokenizer.ggml.${name}`, typeof wrong);
  return value as readonly T[];
}

/** The token whose number is given under a name; undefined where none is. */
function tokenNamed(where: string, metadata: Metadata, tokens: readonly string[], name: string): string | undefined {
  const id = metadata.get(`tokenizer.ggml.${name}`);
  if (id === undefined) return undefined;
  const token = typeof id === 'number' ? tokens[id] : undefined;
  return token ?? refuse(where, `the number of a token in tokenizer.ggml.${name}`, id);
}

function refuse(where: string, expected: string, got: GgufValue): never {
  const advice = 'Get the files of the model from Hugging Face instead.';
  throw new PerformerError('CHECKPOINT', `${where}: expected ${expected}, got ${escaped(String(got))}. ${advice}`);
}

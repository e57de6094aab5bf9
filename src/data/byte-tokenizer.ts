/**
 * Byte tokens: a token is a byte of UTF-8, 0 to 255. There is nothing to train and nothing out of vocabulary.
 */
import type { ByteSource } from './byte-source.js';
import type { TokenSource } from './token-source.js';
import type { Tokenizer } from './tokenizer.js';

const vocabularySize = 256;

/** The tokenizer `bytes`: 256 tokens, each the byte of its number. */
export const byteTokenizer: Tokenizer = {
  name: 'bytes',
  vocabularySize,
  documentStart: 0x0a, // a newline
  lookback: 3, // a character of UTF-8 has four bytes at most, so an unfinished one three
  encode: (text) => Int32Array.from(typeof text === 'string' ? new TextEncoder().encode(text) : text),
  decoder: () => ({ push: (tokens) => Uint8Array.from(tokens) }),
  source: async (text) => byteTokens(text),
  json: byteTokenizerJson,
};

/** The bytes of a source as tokens, position for position, read as they are needed. */
export function byteTokens(source: ByteSource): TokenSource {
  return {
    length: source.length,
    byteLength: source.length,
    read: async (offset, length) => Int32Array.from(await source.read(offset, length)),
  };
}

/**
 * The character that stands for each byte in byte-level BPE: printable Latin-1 stands for itself, the other 68 bytes
 * take U+0100 and on, in order (`bytes_to_unicode` of GPT-2, Radford et al. 2019).
 */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: vocabularySize }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}

/**
 * The content of a Hugging Face `tokenizer.json` whose ids are byte values: byte-level BPE without merges.
 * https://huggingface.co/docs/tokenizers
 */
function byteTokenizerJson() {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])),
      merges: [],
    },
  };
}

/**
 * Byte tokens: a token is a byte of UTF-8, 0 to 255. There is nothing to train and nothing out of vocabulary.
 */

/** Tokens of the byte vocabulary. */
export const byteVocabularySize = 256;

/** The UTF-8 bytes of a text as tokens, int32 in 0–255. */
export function encodeBytes(text: string): Int32Array {
  return Int32Array.from(new TextEncoder().encode(text));
}

/** Text from UTF-8 bytes as they come: an unfinished character is held back until its last byte is there. */
export class Utf8Stream {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** The text that these bytes complete; bytes that are no UTF-8 become U+FFFD. */
  push(bytes: Uint8Array): string {
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** What is left at the end: U+FFFD for an unfinished character, otherwise nothing. The stream then starts anew. */
  flush(): string {
    return this.#decoder.decode();
  }
}

/**
 * The character that stands for each byte in byte-level BPE: printable Latin-1 stands for itself, the other 68 bytes
 * take U+0100 and on, in order (`bytes_to_unicode` of GPT-2, Radford et al. 2019).
 */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: byteVocabularySize }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
}

/**
 * The content of a Hugging Face `tokenizer.json` whose ids are byte values: byte-level BPE without merges.
 * https://huggingface.co/docs/tokenizers
 */
export function byteTokenizerJson() {
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

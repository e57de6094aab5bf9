/**
 * Tokenizers: from text to numbers and back. A model names its tokenizer in its config, and whatever reads or writes text
 * for it (training, generation, embeddings, the command line) asks that one. `tokenizer-registry.ts` has them by name.
 */
import type { ByteSource } from './byte-source.js';
import { type TokenSource, tokensSource } from './token-source.js';

/** From the tokens of one text, in their order, to its bytes. */
export interface TokenDecoder {
  /** The bytes of UTF-8 that these tokens add: all of them together are the text, and a character may be cut anywhere. */
  push(tokens: ArrayLike<number>): Uint8Array;
}

/** What turns a text into tokens, numbers from 0 to `vocabularySize` − 1, and tokens into text again. */
export interface Tokenizer {
  /** Its name in `config.json` and in options. */
  readonly name: string;
  /** Its tokens are the whole numbers from 0 to below this, from 1. Tokens that a family of models adds come after them. */
  readonly vocabularySize: number;
  /** The token that a text without a prompt is generated after. */
  readonly documentStart: number;
  /**
   * How many of the last tokens a fresh decoder must be given, from 0, so that it goes on as one that was given all, up to
   * the last unfinished character. A saved session keeps as many.
   */
  readonly lookback: number;
  /** The tokens of a text, or of its bytes, which may be no UTF-8. The array is the caller's. */
  encode(text: string | Uint8Array): Int32Array;
  /** A decoder at the beginning of a text. */
  decoder(): TokenDecoder;
  /**
   * The tokens of a corpus, where they can be had without reading all of it. Unless given, a corpus is read and encoded
   * once, and its tokens are kept in memory.
   */
  source?(text: ByteSource): Promise<TokenSource>;
  /** The content of `tokenizer.json`, as Hugging Face has it: values of JSON, the same each time. */
  json(): object;
}

/** The tokens of a text. What the tokenizer cannot take as it lies is read and encoded whole. */
export async function tokenSource(tokenizer: Tokenizer, text: ByteSource): Promise<TokenSource> {
  if (tokenizer.source !== undefined) return tokenizer.source(text);
  return tokensSource(tokenizer.encode(await text.read(0, text.length)), text.length);
}

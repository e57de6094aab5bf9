/**
 * Tokenizers: from text to numbers and back. A model names its tokenizer in its config, and whatever reads or writes text
 * for it (training, generation, embeddings, the command line) asks that one. `tokenizer-registry.ts` has them by name.
 */
import type { ByteSource } from './byte-source.js';
import type { TextFrame } from './text-frame.js';
import { type TokenSource, tokensSource } from './token-source.js';

/** From the tokens of one text, in their order, to its bytes. */
export interface TokenDecoder {
  /** The bytes of UTF-8 that these tokens add: all of them together are the text, and a character may be cut anywhere. */
  push(tokens: ArrayLike<number>): Uint8Array;
}

/** Tokens that stand for no text of their own. What a tokenizer does not have is undefined. */
export interface SpecialTokens {
  readonly begin?: number | undefined;
  readonly end?: number | undefined;
  readonly padding?: number | undefined;
  /** Stands for a token that is to be guessed. */
  readonly mask?: number | undefined;
  readonly unknown?: number | undefined;
  /** Begins a text that is to be classified, as [CLS] does. */
  readonly classification?: number | undefined;
  readonly separator?: number | undefined;
  /** All that are special, others than these too. */
  readonly all: ReadonlySet<number>;
}

/** What is told while a corpus is encoded. */
export interface SourceOptions {
  /** Called after each piece, with the bytes that are encoded and those that there are. It is waited for. */
  readonly onProgress?:
    | ((progress: { readonly bytes: number; readonly total: number }) => void | Promise<void>)
    | undefined;
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
  /** None unless given. */
  readonly special?: SpecialTokens | undefined;
  /** Tokens that its models read before and behind a whole text, such as [CLS] and [SEP]; `encode` leaves them out. */
  readonly frame?: TextFrame | undefined;
  /** The tokens of a text, or of its bytes, which may be no UTF-8. The array is the caller's. */
  encode(text: string | Uint8Array): Int32Array;
  /** A decoder at the beginning of a text. */
  decoder(): TokenDecoder;
  /**
   * The tokens of a corpus, where they can be had without reading all of it. Unless given, a corpus is read and encoded
   * once, and its tokens are kept in memory.
   */
  source?(text: ByteSource, options?: SourceOptions): Promise<TokenSource>;
  /** The content of `tokenizer.json`, as Hugging Face has it: values of JSON, the same each time. */
  json(): object;
  /** The files of a model folder that hold it, byte for byte; tokenizer.json with what `json` gives unless given. */
  files?(): ReadonlyMap<string, Uint8Array>;
}

/** The tokens of a text. What the tokenizer cannot take as it lies is read and encoded whole. */
export async function tokenSource(
  tokenizer: Tokenizer,
  text: ByteSource,
  options: SourceOptions = {},
): Promise<TokenSource> {
  if (tokenizer.source !== undefined) return tokenizer.source(text, options);
  return tokensSource(tokenizer.encode(await text.read(0, text.length)), text.length);
}

/** Token sources: a corpus as one addressable run of tokens, wherever it lies. */
import { type ByteSource, expectRange } from './byte-source.js';
import type { Tokenizer } from './tokenizer.js';

export interface TokenSource {
  /** Tokens in the whole source. */
  readonly length: number;
  /** Bytes of the text that they stand for. */
  readonly byteLength: number;
  /** Exactly `length` tokens from `offset` on; the caller must not write to them. Throws DATA when they are not there. */
  read(offset: number, length: number): Promise<Int32Array>;
}

/** Mean bytes of text that a token stands for. */
export function bytesPerToken({ byteLength, length }: Pick<TokenSource, 'byteLength' | 'length'>): number {
  return byteLength / length;
}

/** A source over tokens in memory, which are kept and not copied, of a text of so many bytes. */
export function tokensSource(tokens: Int32Array, byteLength: number): TokenSource {
  return {
    length: tokens.length,
    byteLength,
    async read(offset, length) {
      expectRange('tokensSource', offset, length, tokens.length, 'tokens');
      return tokens.subarray(offset, offset + length);
    },
  };
}

/** The tokens of a text. What the tokenizer cannot take as it lies is read and encoded whole. */
export async function tokenSource(tokenizer: Tokenizer, text: ByteSource): Promise<TokenSource> {
  if (tokenizer.source !== undefined) return tokenizer.source(text);
  return tokensSource(tokenizer.encode(await text.read(0, text.length)), text.length);
}

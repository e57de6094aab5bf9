/** Token sources: a corpus as one addressable run of tokens, wherever it lies. */
import { expectRange } from './byte-source.js';

/** Tokens at a range of places, from memory or from where they lie. */
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
export function tokensSource(tokens: Int32Array | Uint16Array, byteLength: number): TokenSource {
  return {
    length: tokens.length,
    byteLength,
    async read(offset, length) {
      expectRange('tokensSource', offset, length, tokens.length, 'tokens');
      const found = tokens.subarray(offset, offset + length);
      return found instanceof Int32Array ? found : Int32Array.from(found);
    },
  };
}

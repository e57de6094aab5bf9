/**
 * A tokenizer that is unlike bytes in all that the interface allows: its tokens are the 256 bytes and a few words, the space
 * between two words has no token of its own, and a corpus can only be encoded as a whole.
 */
import type { Tokenizer } from '../../src/data/index.js';

const words = ['the', 'cat', 'sat', 'on', 'mat', 'dog', 'by', '고래'];
const space = 0x20;
const bytesOfWord = words.map((word) => new TextEncoder().encode(word));

/** The longest word that stands at a place, as a token. */
function wordAt(bytes: Uint8Array, at: number): number | undefined {
  const found = bytesOfWord
    .map((word, index) => ({ word, token: 256 + index }))
    .filter(({ word }) => word.every((byte, offset) => bytes[at + offset] === byte))
    .sort((a, b) => b.word.length - a.word.length);
  return found[0]?.token;
}

const lengthOf = (token: number) => bytesOfWord[token - 256]?.length ?? 1;

export const wordTokenizer: Tokenizer = {
  name: 'words',
  vocabularySize: 256 + words.length,
  documentStart: 0x0a,
  lookback: 4, // three bytes of a character, and whether a word stands before them
  encode(text) {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    const tokens: number[] = [];
    let at = 0;
    while (at < bytes.length) {
      const isAfterWord = (tokens.at(-1) ?? 0) >= 256;
      const start = isAfterWord ? at + 1 : at;
      const word = isAfterWord && bytes[at] !== space ? undefined : wordAt(bytes, start);
      tokens.push(word ?? (bytes[at] as number));
      at = word === undefined ? at + 1 : start + lengthOf(word);
    }
    return Int32Array.from(tokens);
  },
  decoder() {
    let isAfterWord = false;
    return {
      push(tokens) {
        const bytes = Array.from(tokens, (token) => {
          const gap = isAfterWord && token >= 256 ? [space] : [];
          isAfterWord = token >= 256;
          return [...gap, ...(bytesOfWord[token - 256] ?? [token])];
        });
        return Uint8Array.from(bytes.flat());
      },
    };
  },
  json: () => ({
    version: '1.0',
    model: { type: 'WordLevel', vocab: Object.fromEntries(words.map((w, i) => [w, 256 + i])) },
  }),
};

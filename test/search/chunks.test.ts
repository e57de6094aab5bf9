/** Long texts as chunks: nothing is lost, no chunk is longer than a model reads, and neighbours share what was asked for. */
import { describe, expect, test } from 'vitest';
import { byteTokenizer, huggingFaceTokenizer, type Tokenizer } from '../../src/data/index.js';
import { textChunks } from '../../src/search/index.js';
import { byteLevelFile, wordPieceFile } from '../support/tokenizer-files.js';

const prose =
  'The white whale swam before him.\n\nAs the monomaniac incarnation of all those malicious agencies, it went on. ';
const texts = {
  prose: prose.repeat(8),
  'a table of marks': '| a | b |\n|---|---|\n| ... | }); |\n'.repeat(20),
  'a language without spaces': '吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。'.repeat(6),
  'emoji side by side': '🐋🐳'.repeat(60),
  'one long word': 'abcdefghij'.repeat(60),
};

const tokenizers: Record<string, () => Promise<Tokenizer>> = {
  bytes: async () => byteTokenizer,
  BPE: () =>
    huggingFaceTokenizer(new Map([['tokenizer.json', new TextEncoder().encode(JSON.stringify(byteLevelFile()))]])),
  WordPiece: () =>
    huggingFaceTokenizer(new Map([['tokenizer.json', new TextEncoder().encode(JSON.stringify(wordPieceFile()))]])),
};

describe.each(Object.entries(tokenizers))('by %s', (_, make) => {
  test.each(Object.entries(texts))('all of %s stands in chunks that are short enough, in order', async (__, text) => {
    const tokenizer = await make();
    const chunks = textChunks(text, tokenizer, { tokens: 40, overlap: 8 });
    let read = 0;
    for (const { start, end, text: own } of chunks) {
      expect(own).toBe(text.slice(start, end));
      expect(own).not.toMatch(/\p{Surrogate}/u); // no half of a character
      expect(tokenizer.encode(own).length).toBeLessThanOrEqual(40);
      expect(text.slice(read, start).trim()).toBe(''); // nothing between two chunks
      expect(end).toBeGreaterThan(read);
      read = end;
    }
    expect(text.slice(read).trim()).toBe('');
  });
});

test('a chunk begins with the last words of the one before, up to the overlap, and takes as many words as it can', () => {
  const text = 'aaa bbb ccc ddd eee fff ggg'; // each word has four bytes with its space
  const chunks = textChunks(text, byteTokenizer, { tokens: 16, overlap: 5 });
  expect(chunks.map((chunk) => chunk.text)).toEqual(['aaa bbb ccc ddd', 'ddd eee fff ggg']);
  const apart = textChunks(text, byteTokenizer, { tokens: 16, overlap: 0 });
  expect(apart.map((chunk) => chunk.text)).toEqual(['aaa bbb ccc ddd', 'eee fff ggg']);
});

test('a short text is one chunk without the spaces around it, and spaces are none', () => {
  expect(textChunks('\n a b \n', byteTokenizer, { tokens: 16 })).toEqual([{ start: 2, end: 5, text: 'a b' }]);
  expect(textChunks(' \n', byteTokenizer, { tokens: 16 })).toEqual([]);
});

test('a frame takes its tokens of each chunk', () => {
  const frame = { before: [1], after: [2, 3] };
  const chunks = textChunks('aaa bbb ccc ddd', byteTokenizer, { tokens: 14, overlap: 0, frame });
  expect(chunks.map((chunk) => chunk.text)).toEqual(['aaa bbb ccc', 'ddd']);
});

test('chunks too small for words and overlaps as long as a chunk are refused', () => {
  const frame = { before: [1], after: [2] };
  expect(() => textChunks('a', byteTokenizer, { tokens: 9, frame })).toThrow('at least 10 tokens, got 9');
  expect(() => textChunks('a', byteTokenizer, { tokens: 16, overlap: 16 })).toThrow(
    'an overlap from 0 to 15 tokens, got 16',
  );
});

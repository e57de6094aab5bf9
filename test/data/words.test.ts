/** Texts whose words have labels: words, spans, tokens, and files of them. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  areBio,
  byteTokenizer,
  encodeWords,
  joinWords,
  spansOf,
  type Tokenizer,
  tagSpans,
  tagWords,
  type WordText,
  wordsOf,
} from '../../src/data/index.js';
import { readTaggedFile, wordRecordsOf } from '../../src/data/node.js';
import { wordTokenizer } from '../support/word-tokenizer.js';

const texts = ({ text, words }: WordText) => words.map(({ start, end }) => text.slice(start, end));

describe('words', () => {
  it('are cut by the rules of Unicode, where marks are words and spaces are none', () => {
    expect(texts(wordsOf('Anna’s cat,  on\n3.5 mats! 고래 🐈.'))).toEqual([
      'Anna’s',
      'cat',
      ',',
      'on',
      '3.5',
      'mats',
      '!',
      '고래',
      '🐈',
      '.',
    ]);
    expect(wordsOf('')).toEqual({ text: '', words: [] });
  });

  it('become a text with a space between two, and places in it', () => {
    const joined = joinWords(['New', 'York', '.']);
    expect(joined.text).toBe('New York .');
    expect(texts(joined)).toEqual(['New', 'York', '.']);
  });

  it('have as many labels as there are words, and none of both is empty', () => {
    expect(tagWords(['a', 'b'], ['X', 'Y']).labels).toEqual(['X', 'Y']);
    expect(() => tagWords(['a', 'b'], ['X'])).toThrow('tagWords: expected a label for each of 2 words, got 1 labels.');
    expect(() => tagWords(['a', ' '], ['X', 'Y'])).toThrow(/got an empty one/);
    expect(() => tagWords(['a'], [''])).toThrow(/got an empty one/);
  });
});

describe('spans', () => {
  const text = 'Ann Lee went to New-Yorkshire.';

  it('give words labels of the form BIO, and cut words that reach over their borders', () => {
    const tagged = tagSpans(text, [
      { start: 16, end: 24, label: 'PLACE' },
      { start: 0, end: 7, label: 'PERSON' },
    ]);
    expect(texts(tagged)).toEqual(['Ann', 'Lee', 'went', 'to', 'New', '-', 'York', 'shire', '.']);
    expect(tagged.labels).toEqual(['B-PERSON', 'I-PERSON', 'O', 'O', 'B-PLACE', 'I-PLACE', 'I-PLACE', 'O', 'O']);
    expect(spansOf(tagged.labels)).toEqual([
      { start: 0, end: 2, label: 'PERSON' },
      { start: 4, end: 7, label: 'PLACE' },
    ]);
  });

  it.each([
    [3, 3, 'A'],
    [-1, 3, 'A'],
    [2, 31, 'A'],
    [0, 1.5, 'A'],
    [0, 3, ' '],
  ])('from %d to %d as "%s" are refused', (start, end, label) => {
    expect(() => tagSpans(text, [{ start, end, label }])).toThrow(/tagSpans: expected spans with labels, .* within 30/);
  });

  it('that lie over each other are refused', () => {
    const spans = [
      { start: 0, end: 5, label: 'A' },
      { start: 4, end: 7, label: 'B' },
    ];
    expect(() => tagSpans(text, spans)).toThrow(/got 4 to 7 as "B"/);
  });

  it('begin where a label says so, where the kind changes, and after a word of none', () => {
    expect(spansOf(['B-A', 'I-A', 'B-A', 'I-B', 'O', 'I-B', 'I-B'])).toEqual([
      { start: 0, end: 2, label: 'A' },
      { start: 2, end: 3, label: 'A' },
      { start: 3, end: 4, label: 'B' },
      { start: 5, end: 7, label: 'B' },
    ]);
    expect(spansOf([])).toEqual([]);
  });

  it('are told by labels that are all of the form BIO', () => {
    expect(areBio(['B-x', 'I-x', 'O'])).toBe(true);
    expect(areBio(['O'])).toBe(false);
    expect(areBio(['B-x', 'noun'])).toBe(false);
  });
});

describe('words as tokens', () => {
  it('have the place of their first byte', () => {
    const [encoded] = encodeWords([tagWords(['né', 'on', '고'], ['a', 'b', 'c'])], byteTokenizer);
    expect(Array.from(encoded!.places)).toEqual([0, 4, 7]);
    expect(encoded!.labels).toEqual(['a', 'b', 'c']);
    expect(encoded!.tokens.length).toBe(10);
  });

  it('have the place of the token that holds the space before them', () => {
    const [encoded] = encodeWords([joinWords(['the', 'cat', 'x', 'sat'])], wordTokenizer);
    expect(Array.from(encoded!.tokens)).toEqual([256, 257, 0x20, 0x78, 0x20, 258]); // the| cat| |x| |sat
    expect(Array.from(encoded!.places)).toEqual([0, 1, 3, 5]);
  });

  it('share the place of a token that stands for several', () => {
    const [encoded] = encodeWords(
      [
        {
          text: 'the.',
          words: [
            { start: 0, end: 1 },
            { start: 1, end: 3 },
            { start: 3, end: 4 },
          ],
        },
      ],
      wordTokenizer,
    );
    expect(Array.from(encoded!.places)).toEqual([0, 0, 1]);
  });

  it('are encoded one by one where the tokens are not the text, and refused where there are none', () => {
    const short: Tokenizer = {
      ...byteTokenizer,
      name: 'short',
      encode: (text) => byteTokenizer.encode(text).slice(-1),
    };
    const [found] = encodeWords([wordsOf('a b')], short);
    expect(found).toEqual({ tokens: Int32Array.of(0x61, 0x62), places: Int32Array.of(0, 1) });
    const none: Tokenizer = { ...short, encode: () => new Int32Array(0) };
    expect(() => encodeWords([wordsOf('a b')], none)).toThrow(/tokens of short for a text of 2 words, got none/);
  });
});

describe('files', () => {
  const file = async (name: string, content: string) => {
    const path = join(await mkdtemp(join(tmpdir(), 'words-')), name);
    await writeFile(path, content);
    return path;
  };

  it('of columns and of JSON lines hold the same texts', async () => {
    const columns = await file('a.conll', 'Ann\tNNP\tB-P\nran\tVBD\tO\n\n\n.\t.\tO\r\n');
    const lines = await file(
      'a.jsonl',
      '{"tokens":["Ann","ran"],"labels":["B-P","O"]}\n{"tokens":["."],"labels":["O"]}',
    );
    const spans = await file(
      'b.jsonl',
      '{"text":"Ann ran","spans":[{"start":0,"end":3,"label":"P"}]}\n{"text":".","spans":[]}',
    );
    const expected = [tagWords(['Ann', 'ran'], ['B-P', 'O']), tagWords(['.'], ['O'])];
    for (const path of [columns, lines, spans]) expect(await readTaggedFile(path)).toEqual(expected);
    const spaced = await file('a.txt', 'Ann B-P\nran O\n\n. O\n');
    expect(await readTaggedFile(spaced, { delimiter: ' ' })).toEqual(expected);
  });

  it('are read without labels, and whole where they are running text', async () => {
    const all = async (path: string) => {
      const found = [];
      for await (const { line, ...record } of wordRecordsOf(path)) found.push([line, texts(record)]);
      return found;
    };
    expect(await all(await file('a.conll', 'Ann\nran\n\n.\n'))).toEqual([
      [2, ['Ann', 'ran']],
      [4, ['.']],
    ]);
    expect(await all(await file('a.jsonl', '{"tokens":["Ann"]}\n{"text":"a b"}'))).toEqual([
      [1, ['Ann']],
      [2, ['a', 'b']],
    ]);
    expect(await all(await file('a.txt', 'Ann\nran.'))).toEqual([[undefined, ['Ann', 'ran', '.']]]);
  });

  it.each([
    ['a.jsonl', '{"tokens":["a"]}', /line 1: expected a label behind each word, or spans/],
    ['a.jsonl', '{"text":"a"}', /line 1: expected a label behind each word, or spans/],
    ['a.jsonl', '{"words":["a"]}', /line 1: expected tokens, or a text, got nothing/],
    ['a.jsonl', '{"tokens":"a","labels":["b"]}', /line 1: expected a list of texts as tokens, got "a"/],
    ['a.jsonl', '{"tokens":["a"],"labels":["b","c"]}', /line 1: expected a label for each of 1 words/],
    ['a.jsonl', '{"text":"a","spans":[{"start":0,"label":"b"}]}', /line 1: expected a list of \{ start, end, label \}/],
    ['a.conll', 'a\tb\nc\n', /line 2: expected 2 columns, as the line before has, got 1/],
    ['a.conll', 'a\nb\n', /line 2: expected a label behind each word/],
    ['a.conll', '\n', /expected texts with labels, got none/],
  ])('called %s that hold %s are refused with their line', async (name, content, message) => {
    await expect(readTaggedFile(await file(name, content))).rejects.toThrow(message);
  });
});

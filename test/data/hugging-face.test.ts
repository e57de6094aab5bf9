/** Tokenizers from files: their tokens are those of the library, of the whole text, and text comes back as it is decoded at once. */
import { readFileSync } from 'node:fs';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decoderOf, decoderSteps } from '../../src/data/hugging-face/decoder.js';
import { PieceEncoder } from '../../src/data/hugging-face/pieces.js';
import { bytesSource, huggingFaceTokenizer, tokenSource, Utf8Stream } from '../../src/data/index.js';
import { byteFallbackFile, gpt2File, smallFiles, unigramFile, wordPieceFile } from '../support/tokenizer-files.js';

const library = (content: object) => new Library({ post_processor: null, ...content }, {});
const idsBy = (own: Library, text: string) => own.encode(text, { add_special_tokens: false }).ids;
const bytesOf = (text: string) => new TextEncoder().encode(text);

const texts = [
  ...[
    '',
    ' ',
    '  two  spaces ',
    'The cat sat on the mat, the dogs eating by the café!',
    '\n\n \t\r\nCRLF\r\n',
    'nul\0nul',
  ],
  ...[
    'Ich hätte gern Grüße',
    "L'été où naît l'œuvre",
    'El niño comió',
    'Съешь ещё булок',
    'Ξεσκεπάζω την ψυχοφθόρα ΟΔΟΣ',
  ],
  ...['שלום עולם', 'السلام عليكم', 'नमस्ते दुनिया', '你好,世界。', 'こんにちは世界', '고래가 바다를', 'สวัสดีชาวโลก'],
  ...[
    '🐋🏴‍☠️👩‍👩‍👧 emoji 😶‍🌫️',
    '\ufeffa mark',
    'a<|endoftext|>b',
    '[CLS] the [MASK] </s>',
    '\ud800 alone',
    'x'.repeat(300),
  ],
];
const wellFormed = texts.filter((each) => !each.startsWith('\ud800'));
const someText = fc
  .array(
    fc.oneof(
      fc.constantFrom('the', 'cat', ' the', ' ', '\n', '고래', '🐋', '.', '</s>', '[MASK]', 'é'),
      fc.string({ unit: 'grapheme' }),
    ),
    {
      maxLength: 30,
    },
  )
  .map((parts) => parts.join(''));

describe.each(Object.entries(smallFiles))('%s', (kind, content) => {
  const own = library(content);
  const hasBytes = kind !== 'Unigram with bytes'; // those of Unigram the library does not know

  it('has the tokens of the library, in many languages', async () => {
    const tokenizer = await huggingFaceTokenizer(content);
    for (const text of texts) {
      const tokens = [...tokenizer.encode(text)];
      expect(tokens.every((token) => token >= 0 && token < tokenizer.vocabularySize)).toBe(true);
      if (hasBytes) expect(tokens).toEqual(idsBy(own, text));
    }
  });

  it('reads bytes that are no UTF-8 as U+FFFD, as decoders of the web do', async () => {
    const tokenizer = await huggingFaceTokenizer(content);
    const broken = Uint8Array.of(0x61, 0xff, 0x20, 0xea, 0xb3, 0x62, 0xc0, 0x80, 0xf0, 0x9f);
    expect(tokenizer.encode(broken)).toEqual(tokenizer.encode(new TextDecoder().decode(broken)));
  });

  it('encodes a text in pieces as it does the whole', async () => {
    const tokenizer = await huggingFaceTokenizer(content);
    const encode = (text: string) => [...tokenizer.encode(text)];
    fc.assert(
      fc.property(
        fc.array(someText, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 8, max: 80 }),
        (parts, length) => {
          const found: number[] = [];
          const pieces = new PieceEncoder(encode, (tokens) => found.push(...tokens), length);
          for (const part of parts) pieces.push(part);
          pieces.end();
          expect(found).toEqual(encode(parts.join('')));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('decodes token by token, and on after its lookback, as at once', async () => {
    const tokenizer = await huggingFaceTokenizer(content);
    fc.assert(
      fc.property(
        fc.array(fc.nat(tokenizer.vocabularySize - 1), { minLength: 1, maxLength: 20 }),
        fc.nat(20),
        (tokens, cut) => {
          const whole = tokenizer.decoder().push(tokens);
          const single = tokenizer.decoder();
          expect(tokens.flatMap((token) => [...single.push([token])])).toEqual([...whole]);
          const [early, late] = [tokenizer.decoder(), tokenizer.decoder()];
          early.push(tokens.slice(0, cut));
          late.push(tokens.slice(Math.max(0, cut - tokenizer.lookback), cut));
          if (cut > 0) expect(late.push(tokens.slice(cut))).toEqual(early.push(tokens.slice(cut)));
        },
      ),
    );
  });

  it('gives the text that the library decodes', async () => {
    const tokenizer = await huggingFaceTokenizer(content);
    for (const text of wellFormed) {
      const tokens = [...tokenizer.encode(text)];
      if (tokens.length === 0) continue;
      const characters = new Utf8Stream();
      const decoder = tokenizer.decoder();
      const streamed = tokens.map((token) => characters.push(decoder.push([token]))).join('') + characters.flush();
      const expected = own.decode(tokens, { clean_up_tokenization_spaces: false });
      const withoutMark = (each: string) => each.replace('\ufeff', ''); // the library loses one where it stands in bytes
      expect(withoutMark(streamed)).toBe(withoutMark(expected));
    }
  });
});

it('GPT-2 has the tokens that llama.cpp keeps as examples, and gives every text back', async () => {
  const tokenizer = await huggingFaceTokenizer(gpt2File());
  expect(tokenizer).toMatchObject({
    vocabularySize: 50257,
    documentStart: 50256,
    special: { begin: 50256, end: 50256 },
  });
  const golden = (end: string) => readFileSync(new URL(`../golden/gpt-2-tokens.${end}`, import.meta.url), 'utf8');
  const given = golden('inp').split('\n__ggml_vocab_test__\n');
  const expected = golden('out')
    .split('\n')
    .map((line) => (line.match(/\d+/g) ?? []).map(Number));
  expect(given).toHaveLength(47);
  expect(given.map((text) => [...tokenizer.encode(text)])).toEqual(expected);
  for (const text of [...given, ...texts]) {
    expect(tokenizer.decoder().push(tokenizer.encode(text))).toEqual(bytesOf(text));
  }
});

it('a corpus is encoded as it is read, with its progress, to the tokens of the whole', async () => {
  const content = gpt2File();
  const tokenizer = await huggingFaceTokenizer(content);
  const text = `${wellFormed.join('\n')}\n`.repeat(420);
  const bytes = bytesOf(text);
  const told: number[] = [];
  const reads: number[] = [];
  const lazy = {
    length: bytes.length,
    read: async (at: number, length: number) => {
      reads.push(length);
      return bytes.subarray(at, at + length);
    },
  };
  const source = await tokenSource(tokenizer, lazy, {
    onProgress: ({ bytes: done, total }) => void told.push(done / total),
  });
  expect(Math.max(...reads)).toBeLessThan(bytes.length);
  expect(told.at(-1)).toBe(1);
  expect(told.length).toBeGreaterThan(1);
  const expected = idsBy(library(content), text);
  expect([source.length, source.byteLength]).toEqual([expected.length, bytes.length]);
  expect(Array.from(await source.read(0, source.length))).toEqual(expected);
  expect(Array.from(tokenizer.encode(text))).toEqual(expected);
  expect(await source.read(5, 3)).toEqual(Int32Array.from(expected.slice(5, 8)));
});

it('a text without a place to cut is encoded as one', async () => {
  const tokenizer = await huggingFaceTokenizer(smallFiles['byte-level BPE']);
  const text = 'x'.repeat(150_000);
  const source = await tokenSource(tokenizer, bytesSource(bytesOf(text)));
  expect(source.length).toBe(150_000);
});

it('Unigram has the bytes of what is unknown', async () => {
  const tokenizer = await huggingFaceTokenizer(unigramFile());
  const [space, first] = [tokenizer.encode('cat')[0], 3];
  expect([...tokenizer.encode('고')]).toEqual([expect.any(Number), first + 0xea, first + 0xb3, first + 0xa0]);
  expect(space).toBe(tokenizer.encode(' cat')[0]);
  const text = 'the cat 고래 🐋';
  expect(new TextDecoder().decode(tokenizer.decoder().push(tokenizer.encode(text)))).toBe(text);
});

it('special tokens and those that frame a text are known, by the names that are usual or by the settings', async () => {
  const bert = await huggingFaceTokenizer(wordPieceFile());
  expect(bert.special).toEqual({
    ...{ begin: undefined, end: undefined, padding: 0, mask: 4, unknown: 1, classification: 2, separator: 3 },
    all: new Set([0, 1, 2, 3, 4]),
  });
  expect(bert.frame).toEqual({ before: [2], after: [3] });
  expect([...bert.encode('the cat')]).toEqual([5, 6]);
  const llama = await huggingFaceTokenizer(byteFallbackFile());
  expect(llama).toMatchObject({ documentStart: 1, frame: { before: [1], after: [] }, special: { begin: 1, end: 2 } });
  const file = bytesOf(JSON.stringify(wordPieceFile()));
  const named = (config: object) =>
    huggingFaceTokenizer(
      new Map([
        ['tokenizer.json', file],
        ['tokenizer_config.json', bytesOf(JSON.stringify(config))],
      ]),
    );
  const other = await named({ mask_token: { content: 'cat' }, eos_token: '[SEP]', pad_token: null });
  expect(other.special).toMatchObject({ mask: 6, end: 3, padding: undefined, classification: undefined });
  expect(other.name).not.toBe(bert.name);
  expect([...(other.files?.().keys() ?? [])]).toEqual(['tokenizer.json', 'tokenizer_config.json']);
  await expect(named({ mask_token: '<mask>' })).rejects.toThrow(
    /^tokenizer_config\.json: mask_token: expected a token of the vocabulary, got "<mask>"/,
  );
});

it('the ends of words are spaces, but for the last', () => {
  const steps = decoderSteps('here', { type: 'BPEDecoder', suffix: '</w>' }, new Set(), undefined);
  const decode = decoderOf(steps);
  const told = ['the</w>', 'ca', 't</w>'].map((token) => new TextDecoder().decode(decode([token])));
  expect(told).toEqual(['the', ' ca', 't']);
});

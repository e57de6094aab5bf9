/** Files that are no tokenizer: one error that names the file and the field, and never a crash or silence. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildTokenizer } from '../../src/data/hugging-face/tokenizer.js';
import { huggingFaceTokenizer } from '../../src/data/index.js';
import { readTokenizer } from '../../src/data/node.js';
import { mutationsOf, readOrRefuse } from '../interop/mutations.js';
import {
  byteFallbackFile,
  byteLevelFile,
  type smallFiles,
  unigramFile,
  wordPieceFile,
} from '../support/tokenizer-files.js';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const bpe = byteLevelFile();
const changed = (model: object) => ({ ...bpe, model: { ...bpe.model, ...model } });
const { vocab } = bpe.model;

it.each<[string, object | string, RegExp]>([
  ['no JSON', '{"model":', /: expected JSON, got other text/],
  ['bytes that are no UTF-8', '\xff', /: expected JSON/],
  ['what lies too deep', `${'['.repeat(100)}${']'.repeat(100)}`, /: expected JSON/],
  ['a list', '[]', /expected object, received array/],
  ['no model', { version: '1.0' }, /model: Invalid/],
  ['a model of a type that there is not', changed({ type: 'Oracle' }), /model\.type: Invalid/],
  ['words without pieces', changed({ type: 'WordLevel' }), /model\.type: Invalid/],
  ['no vocabulary', changed({ vocab: undefined }), /model\.vocab: Invalid input/],
  ['an empty vocabulary', changed({ vocab: {} }), /model\.vocab: expected tokens, got none/],
  [
    'a number that is none',
    changed({ vocab: { ...vocab, a: 1.5 } }),
    /model\.vocab: expected a whole number for "a", got 1\.5/,
  ],
  [
    'two tokens of one number',
    changed({ vocab: { ...vocab, zz: 5 } }),
    /model\.vocab: expected a number of its own for .*, got 5/,
  ],
  [
    'a gap',
    changed({ vocab: { ...vocab, zz: 300 } }),
    /model\.vocab: expected numbers from 0 to 300 without a gap, got none for 268/,
  ],
  [
    'an added token of another number',
    { ...bpe, added_tokens: [{ id: 3, content: '<|endoftext|>' }] },
    /added_tokens\.0: expected "<\|endoftext\|>" as token 267, got 3/,
  ],
  ['a merge of three', changed({ merges: ['t h e'] }), /model\.merges\.0: expected two tokens/],
  [
    'a merge into no token',
    changed({ merges: ['t t'] }),
    /model\.merges\.0: expected tokens of the vocabulary, got "tt"/,
  ],
  [
    'merges of two forms',
    changed({ merges: ['t h', ['th', 'e']] }),
    /model\.merges\.1: expected two tokens, as the first/,
  ],
  ['dropout', changed({ dropout: 0.1 }), /model\.dropout: expected none/],
  ['an unknown token that is none', changed({ unk_token: '?!' }), /model\.unk_token: expected a token/],
  ['a normalizer that there is not', { ...bpe, normalizer: { type: 'Magic' } }, /normalizer\.type: Invalid/],
  [
    'a pre-tokenizer that there is not',
    { ...bpe, pre_tokenizer: { type: 'UnicodeScripts' } },
    /pre_tokenizer\.type: Invalid/,
  ],
  ['a decoder of sound', { ...bpe, decoder: { type: 'CTC' } }, /decoder\.type: Invalid/],
  [
    'a pattern that is none',
    { ...bpe, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Removed' } },
    /expected a tokenizer that can be built, got: .*egular/,
  ],
  [
    'a split that the library makes otherwise',
    { ...bpe, pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'Contiguous' } },
    /pre_tokenizer: expected the behavior Removed, or Isolated without invert, got Contiguous/,
  ],
  [
    'a frame of no token',
    { ...bpe, post_processor: { type: 'BertProcessing', cls: ['[CLS]', 1], sep: ['[SEP]', 2] } },
    /post_processor: expected tokens of the vocabulary, got "\[CLS\]"/,
  ],
  [
    'a decoder that needs the end',
    {
      ...bpe,
      decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Strip', content: ' ', start: 0, stop: 1 }] },
    },
    /decoder: expected Strip of the beginning/,
  ],
  [
    'tokens that are single words',
    { ...bpe, added_tokens: [{ id: 267, content: '<|endoftext|>', single_word: true }] },
    /added_tokens\.0\.single_word: expected false/,
  ],
  [
    'scores that are none',
    { ...unigramFile(), model: { type: 'Unigram', unk_id: 0, vocab: [['a', 'b']] } },
    /model\.vocab\.0: expected a token and its score/,
  ],
  [
    'an unknown token behind the last',
    { ...unigramFile(), added_tokens: [], model: { type: 'Unigram', unk_id: 1, vocab: [['a', 0]] } },
    /model\.unk_id: expected one of 1 tokens, got 1/,
  ],
])('%s is refused', async (_, content, message) => {
  const bytes =
    typeof content === 'string'
      ? Uint8Array.from(content, (each) => each.charCodeAt(0))
      : bytesOf(JSON.stringify(content));
  const refused = huggingFaceTokenizer(bytes, 'folder/');
  await expect(refused).rejects.toMatchObject({
    code: 'CHECKPOINT',
    message: expect.stringMatching(/^folder\/tokenizer\.json: /),
  });
  await expect(refused).rejects.toThrow(message);
});

it('a file is found by its path or its folder, and where none is the path is named', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
  await expect(readTokenizer(folder)).rejects.toThrow(
    `${join(folder, 'tokenizer.json')}: expected a tokenizer.json, got none`,
  );
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(wordPieceFile()));
  const own = await readTokenizer(folder);
  expect(await readTokenizer(join(folder, 'tokenizer.json'))).toBe(own);
  await writeFile(join(folder, 'tokenizer_config.json'), '{');
  await expect(readTokenizer(folder)).rejects.toThrow(/tokenizer_config\.json: expected JSON/);
  await writeFile(join(folder, 'tokenizer_config.json'), '{"eos_token": 7}');
  await expect(readTokenizer(folder)).rejects.toThrow(/tokenizer_config\.json: .*eos_token/);
});

/** A whole file without what makes it long. */
const tiny = {
  'byte-level BPE': {
    ...bpe,
    model: { ...bpe.model, vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] },
    added_tokens: [],
  },
  'BPE with bytes': {
    ...byteFallbackFile(),
    added_tokens: [{ id: 0, content: '<s>', special: true }],
    model: {
      type: 'BPE',
      unk_token: '<s>',
      fuse_unk: true,
      vocab: { '<s>': 0, '▁': 1, a: 2, '▁a': 3 },
      merges: [['▁', 'a']],
    },
  },
  WordPiece: wordPieceFile(),
  'Unigram with bytes': {
    ...unigramFile(),
    model: { type: 'Unigram', unk_id: 2, vocab: unigramFile().model.vocab.slice(0, 9) },
  },
} as const satisfies Record<keyof typeof smallFiles, object>;

/** For each kind: 10,000 in all. */
const mutations = 2500;

it.each(Object.entries(tiny))('a damaged file of %s is refused, or is a tokenizer all the same', (_, content) => {
  const where = { tokenizer: 'tokenizer.json', config: 'tokenizer_config.json' };
  const text = 'the cat a b ab 고래\n<s>';
  let refused = 0;
  for (const bytes of mutationsOf(bytesOf(JSON.stringify(content)), mutations, 7)) {
    const tokenizer = readOrRefuse(() => buildTokenizer('damaged', { where, tokenizer: bytes }));
    if (tokenizer === undefined) {
      refused++;
      continue;
    }
    const tokens = tokenizer.encode(text);
    expect(tokens.every((token) => Number.isInteger(token) && token >= 0 && token < tokenizer.vocabularySize)).toBe(
      true,
    );
    expect(tokenizer.decoder().push(tokens)).toBeInstanceOf(Uint8Array);
  }
  expect(refused).toBeGreaterThan(mutations / 4);
});

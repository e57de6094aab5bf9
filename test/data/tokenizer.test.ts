/** What every tokenizer must do, for bytes and for one that is unlike them; and their registry. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ByteSource,
  bytesPerToken,
  bytesSource,
  byteTokenizer,
  encodeTexts,
  labelledTexts,
  registerTokenizer,
  splitCorpus,
  type Tokenizer,
  tokenizerNamed,
  tokenSource,
} from '../../src/data/index.js';
import { wordTokenizer } from '../support/word-tokenizer.js';

const bytesOf = (text: string) => new TextEncoder().encode(text);
const someText = fc
  .array(fc.oneof(fc.constantFrom('the', 'cat', 'thecat', ' ', ' ', '고래', '🐋', '\n'), fc.string()), {
    maxLength: 12,
  })
  .map((parts) => bytesOf(parts.join('')));
const someBytes = fc.oneof(someText, fc.uint8Array({ maxLength: 40 }));

/** Counts how often it is read. */
function watched(bytes: Uint8Array): ByteSource & { reads: number } {
  const source = bytesSource(bytes);
  return {
    length: source.length,
    reads: 0,
    read(offset, length) {
      this.reads++;
      return source.read(offset, length);
    },
  };
}

describe.each<[string, Tokenizer]>([
  ['bytes', byteTokenizer],
  ['words', wordTokenizer],
])('the tokenizer of %s', (_, tokenizer) => {
  it('has tokens from which any bytes come back, all at once or one by one', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        const tokens = tokenizer.encode(bytes);
        expect(tokens.every((token) => token >= 0 && token < tokenizer.vocabularySize)).toBe(true);
        expect(tokenizer.decoder().push(tokens)).toEqual(bytes);
        const decoder = tokenizer.decoder();
        expect(Array.from(tokens, (token) => [...decoder.push([token])]).flat()).toEqual([...bytes]);
      }),
    );
  });

  it('decodes on after its lookback as after the whole', () => {
    fc.assert(
      fc.property(someBytes, fc.nat(40), (bytes, cut) => {
        const tokens = tokenizer.encode(bytes);
        const at = Math.min(cut, tokens.length);
        const [whole, late] = [tokenizer.decoder(), tokenizer.decoder()];
        whole.push(tokens.subarray(0, at));
        late.push(tokens.subarray(Math.max(0, at - tokenizer.lookback), at));
        expect(late.push(tokens.subarray(at))).toEqual(whole.push(tokens.subarray(at)));
      }),
    );
  });

  it('takes a text as its bytes', () => {
    expect(tokenizer.encode('the 고래')).toEqual(tokenizer.encode(bytesOf('the 고래')));
  });

  it('gives a source whose tokens are those of the whole text, with its size in bytes', async () => {
    const bytes = bytesOf('the cat sat by the dog 🐋');
    const source = await tokenSource(tokenizer, bytesSource(bytes));
    const tokens = tokenizer.encode(bytes);
    expect([source.length, source.byteLength]).toEqual([tokens.length, bytes.length]);
    expect(await source.read(2, 3)).toEqual(tokens.subarray(2, 5));
    await expect(source.read(tokens.length - 1, 2)).rejects.toMatchObject({ code: 'DATA' });
  });

  it('holds out the same bytes as any other', async () => {
    const text = bytesOf('the cat sat on the mat, and the dog sat by it. '.repeat(9));
    const { train, heldOut } = await splitCorpus(bytesSource(text), tokenizer, { heldOut: 0.25, window: 8 });
    expect([train.byteLength, heldOut.byteLength]).toEqual([317, 106]);
    const decode = async (source: typeof train) => tokenizer.decoder().push(await source.read(0, source.length));
    expect(await decode(train)).toEqual(text.subarray(0, 317));
    expect(await decode(heldOut)).toEqual(text.subarray(317));
  });
});

describe('a corpus', () => {
  it('is read position for position as bytes, and once where it must be encoded whole', async () => {
    const lazy = watched(bytesOf('the cat'));
    await tokenSource(byteTokenizer, lazy);
    expect(lazy.reads).toBe(0);
    const whole = watched(bytesOf('the cat'));
    const source = await tokenSource(wordTokenizer, whole);
    await source.read(0, 1);
    await source.read(1, 1);
    expect(whole.reads).toBe(1);
  });

  it('must have a window of tokens, however many bytes it has', async () => {
    const text = bytesSource(bytesOf('the cat '.repeat(20)));
    const split = (tokenizer: Tokenizer) => splitCorpus(text, tokenizer, { heldOut: 0.5, window: 60 });
    expect((await split(byteTokenizer)).train.length).toBe(80);
    await expect(split(wordTokenizer)).rejects.toThrow(/at least 61 tokens .* got 21 to train on and 21 held out/);
  });

  it('tells how many bytes a token stands for', async () => {
    const text = bytesSource(bytesOf('the cat sat'));
    expect(bytesPerToken(await tokenSource(byteTokenizer, text))).toBe(1);
    expect(bytesPerToken(await tokenSource(wordTokenizer, text))).toBe(11 / 3);
  });
});

it('labelled texts have their sizes in tokens, and as bytes none is read for it', async () => {
  const texts = labelledTexts([
    { text: 'the cat', target: 'a' },
    { text: '', target: 'b' },
    { text: Uint8Array.of(0xff, 0x20), target: 'a' },
  ]);
  const words = await encodeTexts(texts, wordTokenizer);
  expect(words.sizes).toEqual([2, 0, 2]);
  expect(await words.read(0)).toEqual({ tokens: Int32Array.of(256, 257), target: 'a' });
  const unread = { ...texts, read: () => Promise.reject(new Error('read')) };
  expect((await encodeTexts(unread, byteTokenizer)).sizes).toEqual([7, 0, 2]);
  await expect(words.read(3)).rejects.toMatchObject({ code: 'DATA' });
});

it('a name has one tokenizer, and one that nobody registered is an error that says what to do', () => {
  expect(() => registerTokenizer({ ...wordTokenizer, name: 'bytes' })).toThrow(/a name that is free, got bytes/);
  const error = {
    code: 'CONFIG',
    message: expect.stringMatching(
      /one of bytes, got runes\. Register it by registerTokenizer, or give a tokenizer\.json/,
    ),
  };
  expect(() => tokenizerNamed('runes')).toThrow(expect.objectContaining(error));
  registerTokenizer({ ...wordTokenizer, name: 'runes' });
  expect(tokenizerNamed('runes').vocabularySize).toBe(264);
});

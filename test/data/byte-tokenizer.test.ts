import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { byteTokenizer, Utf8Stream } from '../../src/data/index.js';

const korean = '퍼포머는 긴 글을 읽는다 🐋';

describe('byte tokens', () => {
  test('are the bytes of UTF-8', () => {
    expect([...byteTokenizer.encode('aé한')]).toEqual([0x61, 0xc3, 0xa9, 0xed, 0x95, 0x9c]);
  });

  test('become text again wherever the stream is cut', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 5 }), (text, size) => {
        const bytes = Uint8Array.from(byteTokenizer.encode(text));
        const stream = new Utf8Stream();
        let read = '';
        for (let start = 0; start < bytes.length; start += size)
          read += stream.push(bytes.subarray(start, start + size));
        expect(read + stream.flush()).toBe(text);
      }),
    );
  });
});

describe('a UTF-8 stream', () => {
  test('holds back the bytes of an unfinished Korean syllable', () => {
    const stream = new Utf8Stream();
    const pieces = [...byteTokenizer.encode('한글')].map((byte) => stream.push(Uint8Array.of(byte)));
    expect(pieces).toEqual(['', '', '한', '', '', '글']);
    expect(stream.flush()).toBe('');
  });

  test('never shows half a character of a longer Korean text', () => {
    const stream = new Utf8Stream();
    let shown = '';
    for (const byte of byteTokenizer.encode(korean)) {
      shown += stream.push(Uint8Array.of(byte));
      expect(korean.startsWith(shown)).toBe(true);
    }
    expect(shown).toBe(korean);
  });

  test('shows U+FFFD for what can be no character, also at the end, and then starts anew', () => {
    const stream = new Utf8Stream();
    expect(stream.push(Uint8Array.of(0xff, 0x61))).toBe('\ufffda');
    expect(stream.push(Uint8Array.of(0xed, 0x95))).toBe('');
    expect(stream.flush()).toBe('\ufffd');
    expect(stream.push(Uint8Array.of(0x62))).toBe('b');
  });

  test('keeps a byte order mark', () => {
    expect(new Utf8Stream().push(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
  });
});

describe('tokenizer.json', () => {
  const { model, ...rest } = byteTokenizer.json() as {
    readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly [] };
  } & {
    readonly [key: string]: object;
  };

  test('has one character for each byte, as in GPT-2', () => {
    expect(Object.values(model.vocab).sort((a, b) => a - b)).toEqual(
      Array.from({ length: byteTokenizer.vocabularySize }, (_, byte) => byte),
    );
    expect(model.vocab).toMatchObject({ A: 65, '0': 48, Ġ: 32, Ċ: 10, Ā: 0, ġ: 0x7f, ł: 0xa0, Ń: 0xad, ÿ: 255 });
    expect(Object.keys(model.vocab).every((character) => [...character].length === 1)).toBe(true);
  });

  test('is byte-level BPE without merges and survives JSON', () => {
    expect(model.merges).toEqual([]);
    expect(rest.pre_tokenizer).toMatchObject({ type: 'ByteLevel', add_prefix_space: false });
    expect(rest.decoder).toMatchObject({ type: 'ByteLevel' });
    expect(JSON.parse(JSON.stringify({ model, ...rest }))).toEqual({ model, ...rest });
  });
});

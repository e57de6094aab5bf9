import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StopStrings } from '../../src/generation/stop-strings.js';
import { say } from './collect.js';

describe('a stop string', () => {
  test('ends the text across the borders of tokens, and is not part of it', async () => {
    const { text, tokens } = await say('> one END two', 2, { stop: ['END'] });
    expect(text).toBe('one ');
    expect(tokens.length).toBe('one END'.length);
  });

  test('is held back as long as it might come, and passed on when it does not', async () => {
    const { texts } = await say('> aEN, END', 2, { stop: ['END'] });
    expect(texts).toEqual(['a', '', '', 'EN,', ' ', '', '', '']);
  });

  test('in Korean ends the text as well', async () => {
    const { texts } = await say('> 가나다', 2, { stop: ['나다', 'x'] });
    expect(texts.join('')).toBe('가');
  });

  test('that is unfinished at the end was none', async () => {
    const { texts } = await say('> aEN', 2, { stop: ['END'] });
    expect(texts).toEqual(['a', '', 'EN']);
  });

  test('of several ends the text where the first one appears', async () => {
    expect((await say('> abcdef', 2, { stop: ['cdef', 'de', 'zz'] })).text).toBe('abc');
    expect((await say('> abcdef', 2, { stop: ['bcde', 'bc'] })).text).toBe('a');
  });

  test('in the prompt does not count', async () => {
    expect((await say('END and', 3, { stop: ['END', 'D a'] })).text).toBe(' and');
  });

  test('never shows, wherever the text is cut', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 });
    const stop = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(letters, stop, (text, word) => {
        const stops = new StopStrings([word]);
        let shown = '';
        let isStopped = false;
        for (const letter of text) {
          if (isStopped) break;
          const released = stops.push(letter);
          shown += released.text;
          isStopped = released.isStopped;
          const at = text.indexOf(word);
          expect((at < 0 ? text : text.slice(0, at)).startsWith(shown)).toBe(true);
        }
        expect(isStopped).toBe(text.includes(word));
        expect(shown + (isStopped ? '' : stops.flush())).toBe(text.split(word)[0]);
      }),
    );
  });
});

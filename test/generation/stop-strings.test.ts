import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { StopStrings } from '../../src/generation/stop-strings.js';
import { bytesOf, collect, say } from './collect.js';
import { scriptedModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });
const plain = { temperature: 0, seed: 0 };

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

  test('that is unfinished at the end stays with the session, and so do its bytes', async () => {
    const session = await sessionOf(engine, scriptedModel(bytesOf('> aEN')));
    const { texts, bytes } = await collect(session, '> ', { ...plain, maxTokens: 3, stop: ['END'] });
    expect(texts).toEqual(['a', '', '']);
    expect(bytes).toEqual([...bytesOf('a')]);
    expect(session.withheld).toEqual(bytesOf('EN'));
  });

  test.each(['here', 'saved and loaded'])(
    'that maxTokens cut ends the text when the session goes on, %s',
    async (how) => {
      const model = scriptedModel(bytesOf('> aEND b'));
      const session = await sessionOf(engine, model);
      await collect(session, '> ', { ...plain, maxTokens: 3, stop: ['END'] });
      const next = how === 'here' ? session : await sessionOf(engine, model);
      if (next !== session) next.loadState(await session.saveState());
      const { tokens, text } = await collect(next, '', { ...plain, maxTokens: 3, stop: ['END'] });
      expect({ tokens, text }).toEqual({ tokens: [...bytesOf('D')], text: '' });
      expect(next.withheld).toEqual(bytesOf(''));
    },
  );

  test('that maxTokens cut and that goes on as other text comes with what follows', async () => {
    const session = await sessionOf(engine, scriptedModel(bytesOf('> aEN한ENx')));
    const options = { ...plain, stop: ['END'] };
    await collect(session, '> ', { ...options, maxTokens: 3 });
    expect((await collect(session, '', { ...options, maxTokens: 2 })).texts).toEqual(['EN', '']);
    expect((await collect(session, '', { ...options, maxTokens: 3 })).texts).toEqual(['한', '', '']);
    expect((await collect(session, '', { ...plain, maxTokens: 1 })).texts).toEqual(['ENx']);
  });

  test('that maxTokens cut was none where a prompt follows', async () => {
    const session = await sessionOf(engine, scriptedModel(bytesOf('> aEND b')));
    await collect(session, '> ', { ...plain, maxTokens: 3, stop: ['END'] });
    const { text } = await collect(session, 'D', { ...plain, maxTokens: 2, stop: ['END'] });
    expect(text).toBe(' b');
  });

  test('may be of bytes that are no UTF-8', async () => {
    const session = await sessionOf(engine, scriptedModel(Uint8Array.of(0x3e, 0xfc, 0x61, 0xff, 0x62)));
    const { text, bytes } = await collect(session, '>', { ...plain, maxTokens: 4, stop: [Uint8Array.of(0xff)] });
    expect(bytes).toEqual([0xfc, 0x61]);
    expect(text).toBe('\ufffda');
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
        expect(shown + (isStopped ? '' : stops.held)).toBe(text.split(word)[0]);
      }),
    );
  });
});

/** Generation with tokens that are no bytes: what is decoded, stopped, withheld and gone on with. */
import { describe, expect, it } from 'vitest';
import { registerTokenizer } from '../../src/data/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import type { GenerateOptions } from '../../src/generation/index.js';
import { wordTokenizer } from '../support/word-tokenizer.js';
import { bytesOf, collect } from './collect.js';
import { randomModel, scriptedModel, sessionOf } from './models.js';

registerTokenizer(wordTokenizer);

const engine = nodeEngine({ threads: 1 });
const plain = { temperature: 0, seed: 0 };

async function sessionSaying(script: string | Uint8Array) {
  return sessionOf(engine, scriptedModel(wordTokenizer.encode(script), { tokenizer: 'words' }));
}

/** What comes after the first two words of a script. */
async function say(script: string | Uint8Array, options: Partial<GenerateOptions> = {}, prompt = 'the cat') {
  const session = await sessionSaying(script);
  const maxTokens = wordTokenizer.encode(script).length - wordTokenizer.encode(prompt).length;
  const result = await collect(session, prompt, { ...plain, maxTokens, ...options });
  await session.dispose();
  return result;
}

describe('text of tokens that are words and bytes', () => {
  it('comes word by word, each with what the decoder puts before it', async () => {
    const { texts, tokens } = await say('the cat sat on the mat.');
    expect(texts).toEqual([' sat', ' on', ' the', ' mat', '.']);
    expect(tokens).toHaveLength(5);
  });

  it('holds back the bytes of a character until it is whole, and gives what is no UTF-8 as bytes', async () => {
    expect((await say('the cat 🐋 고래')).texts).toEqual([' ', '', '', '', '🐋', ' ', '고래']);
    const { text, bytes } = await say(Uint8Array.of(...bytesOf('the cat '), 0xff, ...bytesOf('on')));
    expect(text).toBe(' \ufffdon');
    expect(bytes).toEqual([0x20, 0xff, 0x6f, 0x6e]);
  });

  it.each([
    ['in the middle of a token', 'a', ' s'],
    ['across the borders of tokens', 't o', ' sa'],
    ['at the space between two words', ' the', ' sat on'],
  ])('ends before a stop string %s', async (_, stop, expected) => {
    expect((await say('the cat sat on the mat', { stop: [stop] })).text).toBe(expected);
  });

  it('ends at an end token, which is not part of it, and gives out what was held back', async () => {
    const [mat] = wordTokenizer.encode('mat');
    const { text, tokens } = await say('the cat sat on mat by the', { endTokens: [mat!], stop: ['on the'] });
    expect(text).toBe(' sat on');
    expect(tokens).toHaveLength(3);
  });

  it('begins after the start of a document when nothing was read', async () => {
    const model = randomModel({ tokenizer: 'words' });
    const options = { temperature: 1, seed: 3, maxTokens: 5 };
    const blank = await sessionOf(engine, model);
    const other = await sessionOf(engine, model);
    const { tokens } = await collect(blank, '', options);
    expect((await collect(other, '\n', options)).tokens).toEqual(tokens);
    expect(blank.position[0]).toBe(6);
  });
});

describe('a saved session', () => {
  it('decodes on as one that never stopped: the space after its last word, and the rest of a character', async () => {
    for (const [script, first, rest] of [
      ['the cat sat on', [' sat'], [' on']],
      ['the cat 🐋 on', [' ', '', ''], ['', '🐋', ' ', 'on']],
    ] as const) {
      const session = await sessionSaying(script);
      expect((await collect(session, 'the cat', { ...plain, maxTokens: first.length })).texts).toEqual(first);
      const other = await sessionSaying(script);
      other.loadState(await session.saveState());
      expect(other.recentTokens()).toEqual(session.recentTokens());
      expect((await collect(other, '', { ...plain, maxTokens: rest.length })).texts).toEqual(rest);
    }
  });

  it('keeps what might begin a stop string, which may end within a token', async () => {
    const script = 'the cat sat on the mat';
    const stop = ['at on the'];
    const session = await sessionSaying(script);
    expect((await collect(session, 'the cat', { ...plain, stop, maxTokens: 2 })).text).toBe(' s');
    expect(session.withheld).toEqual(bytesOf('at on'));
    const [ended, free] = [await sessionSaying(script), await sessionSaying(script)];
    for (const other of [ended, free]) other.loadState(await session.saveState());
    expect((await collect(ended, '', { ...plain, stop, maxTokens: 2 })).text).toBe('');
    expect((await collect(free, '', { ...plain, maxTokens: 2 })).text).toBe('at on the mat');
  });
});

it('a model with other tokens than its tokenizer needs is refused, with what to do', async () => {
  const session = await sessionOf(engine, randomModel({ tokenizer: 'words', vocabularySize: 256 }));
  await expect(collect(session, 'the', { ...plain, maxTokens: 1 })).rejects.toThrow(
    /expected a vocabularySize of 264 for the tokenizer words, got 256\. Leave vocabularySize out/,
  );
});

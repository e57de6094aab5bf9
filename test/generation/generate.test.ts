import { describe, expect, test } from 'vitest';
import { type ByteSource, bytesSource } from '../../src/data/index.js';
import { nodeEngine } from '../../src/engine/node.js';
import { type GenerateOptions, generate } from '../../src/generation/index.js';
import { bytesOf, collect, say } from './collect.js';
import { drawTokens, randomModel, scriptedModel, sessionOf } from './models.js';

const engine = nodeEngine({ threads: 1 });
describe('generated text', () => {
  test('comes one piece for each token', async () => {
    const { texts, tokens } = await say('the whale', 4);
    expect(texts).toEqual(['w', 'h', 'a', 'l', 'e']);
    expect(tokens).toEqual([...bytesOf('whale')]);
  });

  test('holds back the bytes of a Korean syllable until it is whole', async () => {
    const { texts } = await say('고래: 한글🐋', bytesOf('고래: ').length);
    expect(texts).toEqual(['', '', '한', '', '', '글', '', '', '', '🐋']);
  });

  test('ends before a syllable that maxTokens cut, which comes whole when the session goes on', async () => {
    const model = scriptedModel(bytesOf('고래: 한글🐋'));
    const session = await sessionOf(engine, model);
    const options = { temperature: 0, seed: 0 };
    const first = await collect(session, '고래: ', { ...options, maxTokens: 5 });
    expect(first.texts).toEqual(['', '', '한', '', '']);
    const other = await sessionOf(engine, model);
    other.loadState(await session.saveState());
    expect((await collect(session, '', { ...options, maxTokens: 4 })).texts).toEqual(['글', '', '', '']);
    expect((await collect(other, '', { ...options, maxTokens: 5 })).texts).toEqual(['글', '', '', '', '🐋']);
  });

  test('comes as bytes too, also where they are no UTF-8', async () => {
    const latin = Uint8Array.from([...bytesOf('> f'), 0xfc, ...bytesOf('r dich')]);
    const session = await sessionOf(engine, scriptedModel(latin));
    const { text, bytes } = await collect(session, '> ', { temperature: 0, seed: 0, maxTokens: latin.length - 2 });
    expect(bytes).toEqual([...latin.subarray(2)]);
    expect(text).toBe('f\ufffdr dich');
  });

  test('finishes a syllable that the prompt left unfinished', async () => {
    expect((await say('한글', 4)).texts).toEqual(['', '글']);
  });

  test('begins after a newline when nothing was read', async () => {
    const session = await sessionOf(engine, randomModel());
    const options = { temperature: 1, seed: 3, maxTokens: 8 };
    const { tokens } = await collect(session, '', options);
    const other = await sessionOf(engine, randomModel());
    expect((await collect(other, '\n', options)).tokens).toEqual(tokens);
    expect(session.position[0]).toBe(9);
  });
});

describe('a seed', () => {
  const model = randomModel();
  const options = { temperature: 1, topK: 100, topP: 0.95, repetitionPenalty: 1.1, seed: 5, maxTokens: 40 };
  const from = async (changes: Partial<GenerateOptions> = {}, prompt = 'Call me') => {
    const session = await sessionOf(engine, model);
    return (await collect(session, prompt, { ...options, ...changes })).tokens;
  };

  test('gives the same tokens each time, and another gives others', async () => {
    expect(await from()).toEqual(await from());
    expect(await from({ seed: 6 })).not.toEqual(await from());
  });

  test('gives a text whose beginning does not depend on maxTokens', async () => {
    expect(await from({ maxTokens: 10 })).toEqual((await from()).slice(0, 10));
  });

  test.each([[{}], [{ temperature: 0 }]])(
    'goes on after a pause as if there had been none, with %j',
    async (changes) => {
      const whole = await from(changes);
      const session = await sessionOf(engine, model);
      const before = await collect(session, 'Call me', { ...options, ...changes, maxTokens: 15 });
      const saved = await session.saveState();
      const here = await collect(session, '', { ...options, ...changes, maxTokens: 25 });
      const loaded = await sessionOf(engine, model);
      loaded.loadState(saved);
      const there = await collect(loaded, '', { ...options, ...changes, maxTokens: 25 });
      expect([...before.tokens, ...here.tokens]).toEqual(whole);
      expect(there.tokens).toEqual(here.tokens);
    },
  );

  test('goes on from the last token that a reader took who left', async () => {
    const session = await sessionOf(engine, model);
    const tokens: number[] = [];
    for await (const { token } of generate(session, 'Call me', options)) {
      tokens.push(token);
      if (tokens.length === 12) break;
    }
    const rest = await collect(session, '', { ...options, maxTokens: 28 });
    expect([...tokens, ...rest.tokens]).toEqual(await from());
  });
});

describe('generation', () => {
  const plain = { temperature: 1, seed: 0, maxTokens: 4 };

  test('stops when it is told to, with the reason, and the session is still good', async () => {
    const session = await sessionOf(engine, randomModel());
    const controller = new AbortController();
    let count = 0;
    const run = async () => {
      for await (const { token } of generate(session, 'a', { ...plain, maxTokens: 50, signal: controller.signal })) {
        expect(token).toBeLessThan(256);
        if (++count === 3) controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect([count, session.position[0]]).toEqual([3, 4]);
    expect((await collect(session, '', plain)).tokens.length).toBe(4);
  });

  test('reads a long prompt in pieces', async () => {
    const prompt = Uint8Array.from(drawTokens(70));
    const options = { ...plain, temperature: 0 };
    const small = await sessionOf(engine, randomModel(), { readChunk: 16 });
    const large = await sessionOf(engine, randomModel());
    expect((await collect(small, prompt, options)).tokens).toEqual((await collect(large, prompt, options)).tokens);
    expect(small.position[0]).toBe(74);
  });

  test('reads a source no more than a piece at a time, and once', async () => {
    const prompt = Uint8Array.from(drawTokens(70));
    const ranges: (readonly [number, number])[] = [];
    const source: ByteSource = {
      length: prompt.length,
      read: (offset, length) => {
        ranges.push([offset, length]);
        return bytesSource(prompt).read(offset, length);
      },
    };
    const session = await sessionOf(engine, randomModel(), { readChunk: 32 });
    const whole = await sessionOf(engine, randomModel(), { readChunk: 32 });
    expect((await collect(session, source, plain)).tokens).toEqual((await collect(whole, prompt, plain)).tokens);
    expect(ranges).toEqual([
      [0, 32],
      [32, 32],
      [64, 6],
    ]);
  });

  test('refuses a source that is too long before it reads any of it', async () => {
    const session = await sessionOf(engine, randomModel({ positions: { kind: 'learned', maxLength: 32 } }));
    const source: ByteSource = { length: 1e12, read: () => Promise.reject(new Error('read')) };
    await expect(collect(session, source, plain)).rejects.toMatchObject({ code: 'DATA' });
  });

  test.each([
    [{ maxTokens: 0 }, 'maxTokens'],
    [{ maxTokens: 1.5 }, 'maxTokens'],
    [{ seed: -1 }, 'seed'],
    [{ seed: 2 ** 53 }, 'seed'],
    [{ stop: [''] }, 'stop'],
    [{ temperature: -1 }, 'temperature'],
    [{ topP: 2 }, 'topP'],
    [{ top_k: 3 }, 'top_k'],
  ])('refuses %j before it reads anything', async (bad, name) => {
    const session = await sessionOf(engine, randomModel());
    const error = { code: 'CONFIG', message: expect.stringContaining(name) };
    await expect(collect(session, 'a', { ...plain, ...bad } as GenerateOptions)).rejects.toMatchObject(error);
    expect(session.position[0]).toBe(0);
  });

  test.each<[string, unknown, RegExp]>([
    ['a number', 5, /prompt of text, bytes or a byte source, got a number\./],
    ['nothing', undefined, /got undefined\./],
    ['tokens', Int32Array.of(1), /got an Int32Array\./],
  ])('refuses %s as a prompt', async (_, prompt, message) => {
    const session = await sessionOf(engine, randomModel());
    const error = { code: 'CONFIG', message: expect.stringMatching(message) };
    await expect(collect(session, prompt as string, plain)).rejects.toMatchObject(error);
    await expect(collect({} as typeof session, 'a', plain)).rejects.toThrow(
      /expected a GenerationSession, got an Object/,
    );
  });

  test('refuses several rows, tokens that are no bytes, and more than there is room for', async () => {
    const batch = await sessionOf(engine, randomModel(), { batch: 2 });
    await expect(collect(batch, 'a', plain)).rejects.toThrow(/one row of bytes, got 2 rows/);
    const words = await sessionOf(engine, randomModel({ vocabularySize: 300 }));
    await expect(collect(words, 'a', plain)).rejects.toThrow(
      /expected a vocabularySize of 256 for the tokenizer bytes, got 300/,
    );
    const short = await sessionOf(engine, randomModel({ positions: { kind: 'learned', maxLength: 32 } }));
    await expect(collect(short, 'abc', { ...plain, maxTokens: 30 })).rejects.toThrow(/of 33 together, got 32/);
  });
});

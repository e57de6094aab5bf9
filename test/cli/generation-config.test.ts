import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readGenerationConfig } from '../../src/cli/generation-config.js';
import { byteTokenizer } from '../../src/data/index.js';
import { performer, trainedModel } from './support.js';

async function read(config: object) {
  const folder = await mkdtemp(join(tmpdir(), 'performer-config-'));
  try {
    await writeFile(join(folder, 'generation_config.json'), JSON.stringify(config));
    return await readGenerationConfig(folder, byteTokenizer);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('generation_config.json', () => {
  test('is honoured in what it says of sampling, length and ends', async () => {
    expect(
      await read({
        ...{ do_sample: true, temperature: 0.5, top_k: 5, top_p: 0.7, repetition_penalty: 1.2, max_new_tokens: 9 },
        ...{ eos_token_id: [0, 255], stop_strings: 'END' },
      }),
    ).toEqual({
      ...{ temperature: 0.5, topK: 5, topP: 0.7, repetitionPenalty: 1.2, maxTokens: 9, unknown: [] },
      ...{ stop: ['END'], endTokens: [0, 255] },
    });
  });

  test('that does not sample always takes the likeliest', async () => {
    expect(await read({ do_sample: false, temperature: 0.7 })).toMatchObject({ temperature: 0 });
  });

  test('sets nothing where it says null', async () => {
    const names = ['do_sample', 'temperature', 'top_k', 'top_p', 'repetition_penalty', 'max_new_tokens'];
    const all = [...names, 'eos_token_id', 'bos_token_id', 'pad_token_id', 'stop_strings', 'num_beams'];
    expect(await read(Object.fromEntries(all.map((name) => [name, null])))).toEqual(await read({}));
  });

  test('has what would change the text and is not understood named, and nothing else', async () => {
    const harmless = {
      transformers_version: '5.0.0',
      pad_token_id: 0,
      num_beams: 1,
      bos_token_id: 10,
      use_cache: true,
    };
    expect((await read({ ...harmless, renormalize_logits: false })).unknown).toEqual([]);
    const unknown = { num_beams: 4, min_p: 0.1, bos_token_id: 1, eos_token_id: 50256, invented: 'x' };
    expect([...(await read({ ...harmless, ...unknown })).unknown].sort()).toEqual(
      ['bos_token_id 1', 'eos_token_id 50256', 'invented "x"', 'min_p 0.1', 'num_beams 4'].sort(),
    );
  });

  test.each([
    [{ temperature: -1 }, /temperature/],
    [{ do_sample: 'no' }, /do_sample/],
    [{ top_p: 2 }, /top_p/],
  ])('with %j is refused', async (config, message) => {
    const error = { code: 'CHECKPOINT', message: expect.stringMatching(message) };
    await expect(read(config)).rejects.toMatchObject(error);
  });
});

describe('generating with it', () => {
  const modelFolder = trainedModel();
  const words = ['--prompt', 'The', '--threads', '1', '--seed', '5'];
  const generate = async (config: object, ...more: string[]) => {
    const folder = await modelFolder();
    await writeFile(join(folder, 'generation_config.json'), JSON.stringify(config));
    return performer(['generate', folder, ...words, ...more]);
  };

  test('is greedy where it does not sample, unless a flag says more', async () => {
    const greedy = await generate({}, '--temperature', '0');
    expect((await generate({ do_sample: false })).out).toBe(greedy.out);
    const hot = await generate({}, '--temperature', '50');
    expect((await generate({ do_sample: false }, '--temperature', '50')).bytes).toEqual(hot.bytes);
  });

  test('ends at its length and at its end token, and names what it leaves out', async () => {
    const { out } = await generate({ do_sample: false, max_new_tokens: 12 });
    expect(out).toHaveLength(15);
    const end = out.charCodeAt(8);
    const cut = out.slice(0, out.indexOf(String.fromCharCode(end), 3));
    expect((await generate({ do_sample: false, eos_token_id: end })).out).toBe(cut);
    expect((await generate({ num_beams: 3 })).err).toMatch(/^note: .*has num_beams 3, which generate leaves out\.\n/);
  });
});

/** The command line with models of another tokenizer than bytes, which is registered in this process. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { registerTokenizer } from '../../src/data/index.js';
import { wordTokenizer } from '../support/word-tokenizer.js';
import { performer, temporaryFolder } from './support.js';

registerTokenizer(wordTokenizer);

const text = 'the cat sat on the mat, the dog sat by the cat. '.repeat(40);
const sizes = { dim: 16, depth: 1, heads: 2, headDim: 8, steps: 20, batch: 2, window: 16, evaluationInterval: 10 };

async function trained(tokenizer: string) {
  const folder = await temporaryFolder();
  const [file, config, run] = ['text.txt', 'config.json', 'run'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(file, text);
  await writeFile(config, JSON.stringify({ ...sizes, tokenizer }));
  return { file, run, ran: await performer(['train', file, '--out', run, '--config', config, '--threads', '1']) };
}

test('losses are in nats a token, and in bits a byte of the text, however many bytes a token has', async () => {
  const { file, run, ran } = await trained('words');
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
  expect(ran.out).toContain('1,824 bytes to train on, 96 held out');
  const bytes = new TextEncoder().encode(text);
  const perToken = (part: Uint8Array) => part.length / wordTokenizer.encode(part).length;
  const ratios = { step: perToken(bytes.subarray(0, 1824)), evaluation: perToken(bytes.subarray(1824)) };
  const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  for (const line of lines) {
    const { kind, loss, bitsPerByte } = JSON.parse(line) as { kind: 'step' | 'evaluation' } & Record<string, number>;
    expect(bitsPerByte).toBeCloseTo(loss! / ratios[kind] / Math.LN2, 12);
  }
  const report = JSON.parse((await performer(['evaluate', run, file, '--json', '--threads', '1'])).out);
  expect(report).toMatchObject({ bytes: bytes.length, predicted: wordTokenizer.encode(text).length - 1 });
  expect(report.windows.bitsPerByte).toBeCloseTo(report.windows.loss / perToken(bytes) / Math.LN2, 12);
  expect(report.windows.bitsPerByte).toBeLessThan(0.6 * (report.windows.loss / Math.LN2));
});

test('a run goes on, and generates, with the tokenizer of its model', async () => {
  const { run } = await trained('words');
  const resumed = await performer(['train', '--out', run, '--resume', '--steps', '24', '--threads', '1']);
  expect({ code: resumed.code, err: resumed.err }).toEqual({ code: 0, err: '' });
  const words = ['generate', run, '--prompt', 'the cat', '--max-tokens', '3', '--temperature', '0', '--threads', '1'];
  const { code, out, err } = await performer(words);
  expect(code).toBe(0);
  expect(err).toMatch(/^3 tokens/);
  expect(out).toMatch(/^the cat./s);
  const every = Array.from({ length: 264 }, (_, token) => token);
  await writeFile(join(run, 'generation_config.json'), JSON.stringify({ eos_token_id: every, bos_token_id: 10 }));
  const ended = await performer(words);
  expect({ out: ended.out, err: ended.err.split(',')[0] }).toEqual({ out: 'the cat', err: '1 tokens' });
});

test('an unknown tokenizer is a wrong use that says which there are', async () => {
  const { ran } = await trained('runes');
  expect(ran.code).toBe(2);
  expect(ran.err).toMatch(/config\.json: tokenizer: expected one of bytes, words, got runes/);
});

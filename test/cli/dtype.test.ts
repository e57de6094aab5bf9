/** `--dtype` of commands that run a model, and the table of `performer evaluate --compare-dtypes`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { performer, small, temporaryFolder, textFile, trainedModel } from './support.js';

const modelFolder = trainedModel();
const threads = ['--threads', '1'];

describe.each(['int8', 'int4'])('--dtype %s', (dtype) => {
  test('changes the loss of evaluate a little', async () => {
    const folder = await modelFolder();
    const text = await textFile(folder, 'other.txt', 8);
    const lossOf = async (own: string) => {
      const told = await performer(['evaluate', folder, text, '--json', '--dtype', own, ...threads]);
      expect(told.code).toBe(0);
      return JSON.stringify(JSON.parse(told.out));
    };
    const numbers = (json: string) => [...json.matchAll(/\d+\.\d+/g)].map(Number);
    const [own, exact] = [await lossOf(dtype), await lossOf('float32')];
    expect(own).not.toBe(exact);
    expect(Math.abs(numbers(own)[0]! - numbers(exact)[0]!)).toBeLessThan(0.1);
  });

  test('generates, and turns texts into nearly the same vectors', async () => {
    const folder = await modelFolder();
    const written = await performer([
      'generate',
      folder,
      '--prompt',
      'The',
      '--max-tokens',
      '8',
      '--dtype',
      dtype,
      ...threads,
    ]);
    expect(written).toMatchObject({ code: 0 });
    expect(written.bytes.length).toBe(11);
    const vectorOf = async (own: string) => {
      const told = await performer([
        'embed',
        folder,
        await textFile(folder),
        '--dtype',
        own,
        '--format',
        'jsonl',
        ...threads,
      ]);
      expect(told.code).toBe(0);
      return JSON.parse(told.out).embedding as number[];
    };
    const [own, exact] = [await vectorOf(dtype), await vectorOf('float32')];
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);
    const cosine = dot(own, exact) / Math.sqrt(dot(own, own) * dot(exact, exact));
    expect(cosine).toBeGreaterThan(0.98);
    expect(own).not.toEqual(exact);
  });
});

test('the table has a row for each dtype, the smaller ones with fewer bytes', async () => {
  const folder = await modelFolder();
  const text = await textFile(folder, 'other.txt', 8);
  const told = await performer(['evaluate', folder, text, '--compare-dtypes', '--json', ...threads]);
  expect(told.code).toBe(0);
  const { dtypes } = JSON.parse(told.out) as {
    dtypes: { dtype: string; megabytes: number; loss: number; token: number }[];
  };
  expect(dtypes.map(({ dtype }) => dtype)).toEqual(['float32', 'int8', 'int4']);
  const [float32, int8, int4] = dtypes as [(typeof dtypes)[0], (typeof dtypes)[0], (typeof dtypes)[0]];
  expect(int8.megabytes).toBeLessThan(float32.megabytes);
  expect(int4.megabytes).toBeLessThan(int8.megabytes);
  for (const { loss, token } of dtypes) {
    expect(Math.abs(loss - float32.loss)).toBeLessThan(0.1);
    expect(token).toBeGreaterThan(0);
  }
  const text2 = await performer(['evaluate', folder, text, '--compare-dtypes', ...threads]);
  expect(text2.out).toMatch(/dtype +MB +loss +ms for \d+ tokens +ms a token\nfloat32 /);
});

test.each([
  ['a classifier', 'texts.csv', ['--task', 'classification'], /^dtype +MB +loss +accuracy +macroF1 +s\nfloat32 /],
  ['an encoder', 'text.txt', ['--task', 'masked-language-modelling'], /^dtype +MB +loss +.*s\nfloat32 /],
] as const)('of %s the table has the measures', async (_, name, task, table) => {
  const folder = await temporaryFolder();
  const [data, out] = [join(folder, name), join(folder, 'run')];
  const rows = Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? 'ham,the whale and the sea' : 'spam,buy now'));
  await writeFile(data, `label,text\n${rows.join('\n')}\n`);
  // Layers narrower than 32 stay float32.
  const words = ['train', data, '--out', out, ...task, ...small, '--dim', '32', '--feed-forward-multiplier', '2'];
  expect(await performer(words)).toMatchObject({ code: 0 });
  const told = await performer(['evaluate', out, data, '--compare-dtypes', ...threads]);
  expect(told).toMatchObject({ code: 0, out: expect.stringMatching(table) });
  const json = await performer(['evaluate', out, data, '--compare-dtypes', '--json', ...threads]);
  const { dtypes } = JSON.parse(json.out) as { dtypes: { measures: { loss: number } }[] };
  const losses = dtypes.map(({ measures }) => measures.loss);
  expect(new Set(losses).size).toBe(3);
  for (const loss of losses) expect(Math.abs(loss - losses[0]!)).toBeLessThan(0.1);
});

test('what the table has no place for is refused', async () => {
  const folder = await modelFolder();
  const text = join(await temporaryFolder(), 'none.txt');
  const told = await performer(['evaluate', folder, text, '--compare-dtypes', '--dtype', 'int8']);
  expect(told).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--compare-dtypes: expected neither --record nor --dtype/),
  });
});

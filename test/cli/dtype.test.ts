/** `--dtype` of commands that run a model, and the table of `performer evaluate --compare-dtypes`. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { performer, temporaryFolder, textFile, trainedModel } from './support.js';

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

test('what the table has no place for is refused', async () => {
  const folder = await modelFolder();
  const text = join(await temporaryFolder(), 'none.txt');
  const told = await performer(['evaluate', folder, text, '--compare-dtypes', '--dtype', 'int8']);
  expect(told).toMatchObject({
    code: 2,
    err: expect.stringMatching(/--compare-dtypes: expected neither --record nor --dtype/),
  });
});

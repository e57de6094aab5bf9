/** The command line with a tokenizer.json: training, going on, evaluating, generating, embedding and comparing. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { huggingFaceTokenizer } from '../../src/data/index.js';
import { byteLevelFile } from '../support/tokenizer-files.js';
import { performer, temporaryFolder } from './support.js';

const text = 'the cat sat on the mat, the dog sat by the cat. '.repeat(60);
const sizes = ['--dim', '16', '--depth', '1', '--heads', '2', '--head-dim', '8', '--steps', '8', '--batch', '2'];
const flags = [...sizes, '--window', '16', '--evaluation-interval', '4', '--threads', '1'];

test('a run has the tokenizer of a file, keeps it, and goes on without the first one', async () => {
  const folder = await temporaryFolder();
  const [file, tokenizer, run] = ['text.txt', 'gpt.json', 'run'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(file, text);
  await writeFile(tokenizer, JSON.stringify(byteLevelFile()));
  const ran = await performer(['train', file, '--out', run, '--tokenizer', tokenizer, ...flags]);
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
  expect(ran.out).toContain('bytes to train on');
  expect(await readFile(join(run, 'tokenizer.json'))).toEqual(await readFile(tokenizer));
  const other = join(folder, 'other.json');
  await writeFile(other, JSON.stringify({ ...byteLevelFile(), version: 'another' }));
  const refused = await performer(['train', '--out', run, '--resume', '--tokenizer', other]);
  expect(refused.code).toBe(2);
  expect(refused.err).toMatch(
    /--tokenizer: expected tokenizer\.json:\w+, with which the run in .* began, got tokenizer\.json:\w+/,
  );
  await rm(tokenizer);
  const resumed = await performer(['train', '--out', run, '--resume', '--steps', '12', '--threads', '1']);
  expect({ code: resumed.code, err: resumed.err }).toEqual({ code: 0, err: '' });
  const own = await huggingFaceTokenizer(byteLevelFile());
  const report = JSON.parse((await performer(['evaluate', run, file, '--json', '--threads', '1'])).out);
  const tokens = own.encode(text).length;
  expect(report).toMatchObject({ bytes: text.length, predicted: tokens - 1 });
  expect(report.windows.bitsPerByte).toBeCloseTo((report.windows.loss * tokens) / text.length / Math.LN2, 12);
  const said = await performer([
    'generate',
    run,
    '--prompt',
    'the cat',
    '--max-tokens',
    '3',
    '--seed',
    '1',
    '--threads',
    '1',
  ]);
  expect({ code: said.code, out: said.out.slice(0, 7) }).toEqual({ code: 0, out: 'the cat' });
  expect((await performer(['embed', run, file, '--threads', '1'])).code).toBe(0);
});

test('a comparison has tokenizers as variants, and goes on without their files', async () => {
  const folder = await temporaryFolder();
  const [file, tokenizer, out] = ['text.txt', 'gpt.json', 'out'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(file, text);
  await writeFile(tokenizer, JSON.stringify({ ...byteLevelFile(), version: 'compared' }));
  const variants = ['--variant', 'bytes: --dim 16', '--variant', `pieces: --tokenizer ${tokenizer}`];
  const ran = await performer([
    'compare',
    file,
    '--out',
    out,
    ...variants,
    '--seeds',
    '1',
    '--lengths',
    '16',
    ...flags,
  ]);
  expect({ code: ran.code, err: ran.err }).toEqual({ code: 0, err: '' });
  const name = (await huggingFaceTokenizer({ ...byteLevelFile(), version: 'compared' })).name.replace(/.*:/, '');
  expect(await readFile(join(out, 'tokenizers', name, 'tokenizer.json'))).toEqual(await readFile(tokenizer));
  const { runs } = JSON.parse(await readFile(join(out, 'compare.json'), 'utf8')) as {
    runs: { model: { tokenizer: string } }[];
  };
  expect(runs.map(({ model }) => model.tokenizer)).toEqual(['bytes', `tokenizer.json:${name}`]);
});

test('what is no tokenizer is an error that names the file and the field', async () => {
  const folder = await temporaryFolder();
  const [file, tokenizer] = ['text.txt', 'broken.json'].map((name) => join(folder, name)) as [string, string];
  await writeFile(file, text);
  await writeFile(tokenizer, JSON.stringify({ ...byteLevelFile(), model: { type: 'Oracle' } }));
  const ran = await performer(['train', file, '--out', join(folder, 'run'), '--tokenizer', tokenizer]);
  expect(ran.code).toBe(1);
  expect(ran.err).toMatch(/tokenizer\.json: expected the content of a tokenizer\.json, got model\.type/);
  const missing = await performer(['train', file, '--out', join(folder, 'run'), '--tokenizer', 'none.json']);
  expect(missing.code).toBe(2);
  expect(missing.err).toMatch(/--tokenizer: expected one of bytes.*, got none\.json\. .*give a tokenizer\.json/);
});

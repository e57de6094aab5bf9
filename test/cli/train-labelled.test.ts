/** `performer train` on labelled texts, and with masked tokens. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { performer, small, temporaryFolder, textFile } from './support.js';

const rows = Array.from({ length: 40 }, (_, index) =>
  index % 2 === 0 ? `ham,see you at ${index}` : `spam,win !!! ${index}`,
);

async function table(folder: string): Promise<string> {
  const path = join(folder, 'mails.csv');
  await writeFile(path, `folder,body\n${rows.join('\n')}\n`);
  return path;
}

const columns = ['--text', 'body', '--label', 'folder'];

async function linesOf(out: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(out, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('training on labelled texts', () => {
  test('leaves a classifier that predicts, and goes on with the same texts', async () => {
    const folder = await temporaryFolder();
    const path = await table(folder);
    const out = join(folder, 'run');
    const words = ['train', path, '--out', out, '--task', 'classification', ...columns, '--pooling', 'attention'];
    const ran = await performer([...words, ...small, '--held-out', '0.25']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('30 texts to train on, 10 held out');
    expect(ran.out).toMatch(/held out: loss [\d.]+, accuracy [\d.]+, macroF1 [\d.]+/);
    expect(ran.out).not.toContain('bits');
    expect(ran.out).toContain(`performer predict ${out}`);
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ pooling: 'attention', targets: { kind: 'classes', names: ['ham', 'spam'] } });
    const evaluations = (await linesOf(out)).filter(({ kind }) => kind === 'evaluation');
    expect(evaluations.at(-1)).toMatchObject({ accuracy: expect.any(Number), macroF1: expect.any(Number) });
    const resumed = await performer(['train', '--out', out, '--resume', '--steps', '8']);
    expect(resumed).toMatchObject({ code: 0, err: '' });
    expect((await linesOf(out)).filter(({ kind }) => kind === 'step').length).toBe(8);
    const predicted = await performer(['predict', out, path, '--text', 'body']);
    expect(predicted).toMatchObject({ code: 0, err: '' });
    expect(predicted.out.split('\n').length).toBe(1 + 40 + 1);
  });

  test('takes a folder with a folder for each class, and values of a table', async () => {
    const folder = await temporaryFolder();
    const mails = join(folder, 'mails');
    for (const [index, row] of rows.entries()) {
      const [name, body] = row.split(',') as [string, string];
      await mkdir(join(mails, name), { recursive: true });
      await writeFile(join(mails, name, `${index}.txt`), body);
    }
    const words = ['train', mails, '--out', join(folder, 'run'), '--task', 'classification', ...small];
    expect((await performer([...words, '--class-weights', 'balanced'])).code).toBe(0);
    const path = join(folder, 'sizes.jsonl');
    const lines = rows.map((row) => JSON.stringify({ text: row, size: row.length }));
    await writeFile(path, lines.join('\n'));
    const out = join(folder, 'values');
    const values = ['train', path, '--out', out, '--task', 'regression', '--label', 'size', ...small];
    const ran = await performer(values);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('meanSquaredError');
    const { targets } = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(targets).toMatchObject({ kind: 'values', names: ['size'] });
  });

  test('refuses what a task does not have', async () => {
    const folder = await temporaryFolder();
    const path = await table(folder);
    const out = join(folder, 'run');
    const text = ['train', path, '--out', out, ...small];
    expect((await performer([...text, '--pooling', 'mean'])).err).toContain(
      '--pooling: a causal-language-model does not have it',
    );
    expect((await performer([...text, '--label', 'x'])).err).toContain('--label: language-modelling does not have it');
    const ran = await performer([...text, '--task', 'classification', '--label', 'x', '--text', 'body']);
    expect(ran).toMatchObject({ code: 1 });
    expect(ran.err).toContain(`${path}, line 1: expected a column x`);
  });
});

test('an encoder is trained by masked tokens, and embeds', async () => {
  const folder = await temporaryFolder();
  const text = await textFile(folder);
  const out = join(folder, 'run');
  const ran = await performer(['train', text, '--out', out, '--task', 'masked-language-modelling', ...small]);
  expect(ran).toMatchObject({ code: 0, err: '' });
  expect(ran.out).toContain(`performer embed ${out}`);
  expect((await performer(['embed', out, text, '--window', '32'])).code).toBe(0);
});

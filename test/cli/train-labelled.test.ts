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
    const evaluated = await performer(['evaluate', out, path, '--json']);
    expect(evaluated).toMatchObject({ code: 0, err: '' });
    const { texts, measures, confusion } = JSON.parse(evaluated.out);
    expect({ texts, names: confusion.names }).toEqual({ texts: 40, names: ['ham', 'spam'] });
    expect(confusion.counts.map(([ham, spam]: number[]) => ham! + spam!)).toEqual([20, 20]);
    expect(measures.accuracy).toBeCloseTo((confusion.counts[0][0] + confusion.counts[1][1]) / 40, 6);
    expect((await performer(['evaluate', out, path])).out).toMatch(/^40 texts\nloss .*\n.*\n +ham {2}spam\n ham/);
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

  test('with any number of labels leaves a classifier of labels, whatever the form of the file', async () => {
    const folder = await temporaryFolder();
    const labels = (index: number) => [...(index % 2 ? ['loud'] : []), ...(index % 3 ? ['even more', 'some'] : [])];
    const bodies = Array.from({ length: 48 }, (_, index) => `${index % 2 ? '!!! ' : ''}text ${index}`);
    const [lines, cells] = [join(folder, 'a.jsonl'), join(folder, 'a.tsv')];
    const objects = bodies.map((text, index) => JSON.stringify({ text, topics: labels(index) }));
    await writeFile(lines, objects.join('\n'));
    const fields = bodies.map((body, index) => `${body}\t${labels(index).join('|')}`);
    await writeFile(cells, ['text\ttopics', ...fields].join('\n'));
    const out = join(folder, 'run');
    const words = ['--task', 'multi-label-classification', '--label', 'topics', ...small];
    const ran = await performer(['train', lines, '--out', out, ...words]);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toMatch(/held out: loss [\d.]+, microF1 [\d.]+, macroF1 [\d.]+, exactMatch [\d.]+/);
    expect(ran.out).toContain(`performer predict ${out}`);
    const { targets } = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(targets).toEqual({ kind: 'labels', names: ['even more', 'loud', 'some'] });
    const other = join(folder, 'other');
    const ofCells = await performer(['train', cells, '--out', other, ...words, '--separator', '|']);
    expect(ofCells).toMatchObject({ code: 0, err: '' });
    const lossesOf = async (run: string) => (await linesOf(run)).map(({ kind, loss }) => [kind, loss]);
    expect(await lossesOf(other)).toEqual(await lossesOf(out));
    expect(await performer(['train', '--out', other, '--resume', '--steps', '8'])).toMatchObject({ code: 0, err: '' });
    expect((await linesOf(other)).filter(({ kind }) => kind === 'step').length).toBe(8);

    const evaluated = await performer(['evaluate', other, cells, '--json']);
    expect(evaluated).toMatchObject({ code: 0, err: '' });
    const report = JSON.parse(evaluated.out);
    expect(report.texts).toBe(48);
    expect(report.labels.map(({ name, texts }: { name: string; texts: number }) => [name, texts])).toEqual([
      ['even more', 32],
      ['loud', 24],
      ['some', 32],
    ]);
    const total = (key: string) => report.labels.reduce((sum: number, each: never) => sum + each[key], 0);
    expect(report.measures.microF1).toBeCloseTo((2 * total('right')) / (total('texts') + total('told')), 6);
    expect((await performer(['evaluate', other, cells])).out).toMatch(/ +with +told +right\neven more +32 +\d+ +\d+\n/);

    const rows = (await performer(['predict', other, lines])).out.trimEnd().split('\n');
    expect(rows[0]).toBe('file,line,labels,even more,loud,some');
    expect(rows.length).toBe(49);
    const objectLines = (await performer(['predict', other, cells, '--format', 'jsonl'])).out.trimEnd().split('\n');
    for (const [at, line] of objectLines.entries()) {
      const { labels, probabilities } = JSON.parse(line);
      expect(labels).toEqual(targets.names.filter((name: string) => probabilities[name] > 0.5));
      expect(rows[at + 1]!.split(',')[2]).toBe(labels.join(';'));
    }
    await writeFile(lines, '{"text":"a","topics":["some","blue"]}');
    const unknown = await performer(['evaluate', out, lines]);
    expect(unknown).toMatchObject({ code: 1, out: '' });
    expect(unknown.err).toContain('expected labels among even more, loud, some, got blue');
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
    for (const [task, flags, message] of [
      ['classification', ['--separator', ';'], '--separator: classification does not have it'],
      ['regression', ['--class-weights', 'balanced'], '--class-weights: regression does not have it'],
      ['multi-label-classification', ['--class-weights', 'equal'], '--class-weights: multi-label-classification does'],
      ['multi-label-classification', ['--label', 'a', '--label', 'b'], '--label: expected one for the labels'],
    ] as const) {
      const refused = await performer([...text, '--task', task, ...flags]);
      expect(refused).toMatchObject({ code: 2, out: '' });
      expect(refused.err).toContain(message);
    }
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
  const evaluated = await performer(['evaluate', out, text]);
  expect(evaluated.out).toMatch(/bytes\nloss [\d.]+, perplexity [\d.]+, accuracy [\d.]+\n$/);
  expect((await performer(['embed', out, text, '--window', '32'])).code).toBe(0);
});

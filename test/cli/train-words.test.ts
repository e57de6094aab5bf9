/** `performer train` on the words of texts, and what can be done with such a model. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { performer, small, temporaryFolder } from './support.js';

const task = ['--task', 'token-classification'];
const sentences = Array.from({ length: 40 }, (_, index) => {
  const name = index % 2 ? ['Ann', 'Lee'] : ['Bob'];
  const tokens = [...name, 'saw', `${index}`, '.'];
  return { tokens, labels: tokens.map((_, at) => (at === 0 ? 'B-NAME' : at < name.length ? 'I-NAME' : 'O')) };
});

async function lines(folder: string): Promise<string> {
  const path = join(folder, 'a.jsonl');
  await writeFile(path, sentences.map((each) => JSON.stringify(each)).join('\n'));
  return path;
}

async function metricsOf(out: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(out, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('training on the words of texts', () => {
  test('leaves a model that labels words, whatever the form of the file, and goes on', async () => {
    const folder = await temporaryFolder();
    const [path, out] = [await lines(folder), join(folder, 'run')];
    const ran = await performer(['train', path, '--out', out, ...task, ...small, '--held-out', '0.25']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('30 texts to train on, 10 held out');
    expect(ran.out).toMatch(/held out: loss [\d.]+, accuracy [\d.]+, macroF1 [\d.]+, spanF1 [\d.]+/);
    expect(ran.out).toContain(`performer predict ${out} some.txt`);
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ model: 'token-classifier', targets: { names: ['B-NAME', 'I-NAME', 'O'] } });

    const columns = join(folder, 'a.conll');
    const rows = sentences.map(({ tokens, labels }) => tokens.map((each, at) => `${each} ${labels[at]}\n`).join(''));
    await writeFile(columns, rows.join('\n'));
    const other = join(folder, 'other');
    const words = ['train', columns, '--out', other, ...task, ...small, '--held-out', '0.25', '--delimiter', ' '];
    expect(await performer(words)).toMatchObject({ code: 0, err: '' });
    const lossesOf = async (run: string) => (await metricsOf(run)).map(({ kind, loss }) => [kind, loss]);
    expect(await lossesOf(other)).toEqual(await lossesOf(out));
    expect(await performer(['train', '--out', other, '--resume', '--steps', '8'])).toMatchObject({ code: 0, err: '' });
    expect((await metricsOf(other)).filter(({ kind }) => kind === 'step').length).toBe(8);

    const evaluated = await performer(['evaluate', out, path, '--json']);
    expect(evaluated).toMatchObject({ code: 0, err: '' });
    const report = JSON.parse(evaluated.out);
    expect(report.texts).toBe(40);
    expect(report.labels.map(({ name, words }: { name: string; words: number }) => [name, words])).toEqual([
      ['B-NAME', 40],
      ['I-NAME', 20],
      ['O', 120],
    ]);
    const [{ name, spans, told, right }] = report.spans;
    expect({ name, spans }).toEqual({ name: 'NAME', spans: 40 });
    expect(report.measures.spanF1).toBeCloseTo((2 * right) / (spans + told), 6);
    const table = (await performer(['evaluate', other, columns])).out; // with the delimiter of the training
    expect(table).toMatch(
      /words with each label.*\n +with +told +right\nB-NAME +40 +\d+ +\d+\n(.*\n)+spans with each label/,
    );
  });

  test('predicts labels and spans of words, and a row of CSV for each word', async () => {
    const folder = await temporaryFolder();
    const [path, out] = [await lines(folder), join(folder, 'run')];
    await performer(['train', path, '--out', out, ...task, ...small]);
    const text = join(folder, 'a.txt');
    await writeFile(text, 'Bob saw Ann, once.');
    const predicted = await performer(['predict', out, path, text, '--format', 'jsonl']);
    expect(predicted).toMatchObject({ code: 0, err: '' });
    const objects = predicted.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(objects.length).toBe(41);
    expect(objects[1]).toMatchObject({ file: path, line: 2, tokens: sentences[1]!.tokens });
    expect(objects[40]).toMatchObject({ file: text, tokens: ['Bob', 'saw', 'Ann', ',', 'once', '.'] });
    for (const { labels, tokens, spans, text: own } of objects) {
      expect(labels.length).toBe(tokens.length);
      for (const { start, end, label } of spans) {
        expect(label).toBe('NAME');
        expect(
          own
            .slice(start, end)
            .split(/ |(?=[,.])/)
            .every((word: string) => tokens.includes(word)),
        ).toBe(true);
      }
    }
    const rows = (await performer(['predict', out, text])).out.trimEnd().split('\n');
    expect(rows[0]).toBe('file,line,word,label,probability');
    expect(rows.slice(1).map((row) => row.split(',').at(-2))).toEqual(objects[40].labels);
    expect(rows[4]).toContain(',,",",');
    await writeFile(path, predicted.out);
    const again = await performer(['evaluate', out, path, '--json']);
    expect(JSON.parse(again.out).measures).toMatchObject({ accuracy: 1 }); // what was told can be learned from
  });

  test('refuses what it does not have', async () => {
    const folder = await temporaryFolder();
    const path = await lines(folder);
    const words = ['train', path, '--out', join(folder, 'run'), ...small, ...task];
    for (const [flags, message] of [
      [['--text', 'body'], '--text: token-classification does not have it'],
      [['--label', 'tags'], '--label: token-classification does not have it'],
      [['--pooling', 'mean'], '--pooling: a token-classifier does not have it'],
      [['--carry-state'], '--carry-state'],
    ] as const) {
      const refused = await performer([...words, ...flags]);
      expect(refused).toMatchObject({ code: 2, out: '' });
      expect(refused.err).toContain(message);
    }
    await writeFile(path, '{"tokens":["a","b"],"labels":["X","X"]}');
    const same = await performer(words);
    expect(same).toMatchObject({ code: 1 });
    expect(same.err).toContain('expected texts of two classes at least, got 1');
  });
});

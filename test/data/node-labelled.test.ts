import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { LabelledTexts } from '../../src/data/index.js';
import { openLabelledFolder, readLabelledFile } from '../../src/data/node.js';

const folder = await mkdtemp(join(tmpdir(), 'performer-labelled-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function contentOf(texts: LabelledTexts) {
  const read = await Promise.all(texts.targets.map((_, index) => texts.read(index)));
  expect(read.map(({ target }) => target)).toEqual(texts.targets);
  expect(read.map(({ bytes }) => bytes.length)).toEqual(texts.sizes);
  return read.map(({ bytes, target }) => [new TextDecoder().decode(bytes), target]);
}

describe('a table of labelled texts', () => {
  it('has a column of texts and one of classes, with line breaks in quotes', async () => {
    const path = await fileOf('a.csv', 'label,text\nham,"see you,\nat 5"\nspam, win \n');
    expect(await contentOf(await readLabelledFile(path))).toEqual([
      ['see you,\nat 5', 'ham'],
      [' win ', 'spam'],
    ]);
  });

  it('is separated by tabs where it is called .tsv, and has the columns that are named', async () => {
    const path = await fileOf('b.tsv', 'height\tbody\twidth\n1.5\ta,b\t-2\n');
    const texts = await readLabelledFile(path, { text: 'body', label: ['width', 'height'], kind: 'values' });
    expect(await contentOf(texts)).toEqual([['a,b', [-2, 1.5]]]);
  });

  it.each<[string, string, object, string]>([
    ['a column that is not there', 'label,body\na,b\n', {}, 'line 1: expected a column text, got columns label, body'],
    ['an empty class', 'label,text\na,b\n,c\n', {}, 'line 3: expected a class as label, got ""'],
    [
      'a value that is no number',
      'label,text\n1,b\nx,c\n',
      { kind: 'values' },
      'line 3: expected a number as label, got "x"',
    ],
    ['an empty value', 'label,text\n1,b\n ,c\n', { kind: 'values' }, 'line 3: expected a number as label, got " "'],
  ])('is refused with the file and line for %s', async (name, content, options, message) => {
    const path = await fileOf(`${name}.csv`, content);
    await expect(readLabelledFile(path, options)).rejects.toThrow(`${path}, ${message}`);
  });
});

describe('labels of which a text has any number', () => {
  const labels = { kind: 'labels' } as const;

  it('stand between separators in a column of a table; an empty cell has none', async () => {
    const path = await fileOf('c.csv', 'label,text\n new york ;b,x\n,y\n"a,b",z\n');
    expect((await readLabelledFile(path, labels)).targets).toEqual([['new york', 'b'], [], ['a,b']]);
    const commas = await readLabelledFile(path, { ...labels, separator: ',' });
    expect(commas.targets).toEqual([['new york ;b'], [], ['a', 'b']]);
  });

  it('are a list in JSON lines', async () => {
    const path = await fileOf('c.jsonl', '{"text":"x","label":[" a;b ",2]}\n{"text":"y","label":[]}\n');
    expect((await readLabelledFile(path, labels)).targets).toEqual([['a;b', '2'], []]);
  });

  it.each<[string, string, string]>([
    ['an empty label in a table', 'label,text\na,x\na;;b,y\n', 'line 3: expected a label as label, got ""'],
    ['an empty label in a list', '{"text":"x","label":["a"," "]}\n', 'line 1: expected a label as label, got " "'],
    ['a list in a list', '{"text":"x","label":[["a"]]}\n', 'line 1: expected a label as label, got ["a"]'],
    ['a name alone', '{"text":"x","label":"a"}\n', 'line 1: expected a list of labels as label, got "a"'],
    ['nothing', '{"text":"x"}\n', 'line 1: expected a list of labels as label, got nothing. A text without labels has'],
  ])('are refused with the file and line for %s', async (name, content, message) => {
    const path = await fileOf(`${name}.${content.startsWith('{') ? 'jsonl' : 'csv'}`, content);
    await expect(readLabelledFile(path, labels)).rejects.toThrow(`${path}, ${message}`);
  });
});

describe('JSON lines of labelled texts', () => {
  it('have a key of texts and one of classes; empty lines are passed over', async () => {
    const path = await fileOf('a.jsonl', '{"text":"a\\nb","label":"x"}\r\n\n{"label":2,"text":"é"}');
    expect(await contentOf(await readLabelledFile(path))).toEqual([
      ['a\nb', 'x'],
      ['é', '2'],
    ]);
  });

  it('have numbers where values are asked for', async () => {
    const path = await fileOf('b.jsonl', '{"body":"a","x":1,"y":"2.5"}\n');
    const texts = await readLabelledFile(path, { text: 'body', label: ['y', 'x'], kind: 'values' });
    expect(texts.targets).toEqual([[2.5, 1]]);
  });

  it.each<[string, string | Uint8Array, string]>([
    ['other text', '{"text":"a","label":"b"}\n\nhello\n', 'line 3: expected JSON, got other text'],
    ['a list', '[1]\n', 'line 1: expected an object, got a list'],
    ['no text', '{"label":"b"}\n', 'line 1: expected a text as text, got nothing'],
    ['no class', '{"text":"a","label":null}\n', 'line 1: expected a class as label, got null'],
    ['bytes that are no utf-8', Uint8Array.of(10, 123, 255), 'line 2: expected text in utf-8, got bytes that are none'],
  ])('are refused with the file and line for %s', async (name, content, message) => {
    const path = await fileOf(`${name}.jsonl`, content);
    await expect(readLabelledFile(path)).rejects.toThrow(`${path}, ${message}`);
  });

  it('are refused where there are none', async () => {
    await expect(readLabelledFile(await fileOf('empty.jsonl', '\n'))).rejects.toThrow(
      'expected labelled texts, got none',
    );
    await expect(readLabelledFile(join(folder, 'none.jsonl'))).rejects.toThrow('expected a file, got none there');
  });
});

describe('a folder with a folder for each class', () => {
  it('has the files of each as its texts, in the order of their paths', async () => {
    const root = join(folder, 'mail');
    await mkdir(join(root, 'spam'), { recursive: true });
    await mkdir(join(root, 'ham', 'old'), { recursive: true });
    await writeFile(join(root, 'spam', '1.txt'), 'win');
    await writeFile(join(root, 'ham', 'old', '2'), 'hi');
    await writeFile(join(root, 'ham', 'b'), 'é');
    await writeFile(join(root, 'ham', '.hidden'), 'no');
    await writeFile(join(root, 'README'), 'no');
    const texts = await openLabelledFolder(root);
    expect(await contentOf(texts)).toEqual([
      ['é', 'ham'],
      ['hi', 'ham'],
      ['win', 'spam'],
    ]);
    await rm(join(root, 'ham', 'b'));
    await expect(texts.read(0)).rejects.toThrow(`read ${join(root, 'ham', 'b')}: expected a file, got none there`);
  });

  it('is refused without folders, and with one without files', async () => {
    const root = join(folder, 'empty');
    await mkdir(root);
    await expect(openLabelledFolder(root)).rejects.toThrow('expected a folder for each class');
    await mkdir(join(root, 'a'));
    await expect(openLabelledFolder(root)).rejects.toThrow(
      `read ${join(root, 'a')}: expected files of a class, got none`,
    );
    await expect(openLabelledFolder(join(folder, 'nowhere'))).rejects.toThrow('got none there');
  });
});

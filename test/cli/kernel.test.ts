import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { flagName } from '../../src/base/options.js';
import { fitSchema } from '../../src/machines/config.js';
import { curve, rings } from '../machines/data.js';
import { performer, temporaryFolder } from './support.js';

/** Rows of a table as CSV. */
const csv = (rows: readonly (readonly unknown[])[], end = '\n') => rows.map((row) => row.join(',') + end).join('');

function curveRows(rows: number, seed = 1): string[][] {
  const { inputs, targets } = curve(rows, seed);
  return Array.from({ length: rows }, (_, row) =>
    [...inputs.data.subarray(row * 3, row * 3 + 3), ...targets.data.subarray(row * 2, row * 2 + 2)].map(String),
  );
}

const names = ['red', 'green, pale', 'blue'];

function ringRows(rows: number, seed = 2): string[][] {
  const { inputs, targets } = rings(rows, seed);
  return Array.from({ length: rows }, (_, row) => [
    String(inputs.data[row * 2]),
    String(inputs.data[row * 2 + 1]),
    `"${names[targets.data[row] as number]}"`,
  ]);
}

async function fileWith(text: string): Promise<string> {
  const path = join(await temporaryFolder(), 'data.csv');
  await writeFile(path, text);
  return path;
}

const kernel = (...words: string[]) => performer(['kernel', ...words]);
/** What was told beside the progress, which work of more than two seconds tells. */
const withoutProgress = (told: string) => told.replaceAll(/^[\w ]+: [\d,]+ rows\n/gm, '');
const few = ['--feature-count', '128', '--threads', '1'];

async function fittedCurve(...words: string[]): Promise<string> {
  const data = await fileWith(csv([['a', 'b', 'c', 'y', 'z'], ...curveRows(300)]));
  const out = join(await temporaryFolder(), 'machine');
  const ran = await kernel('fit', data, '--target', 'y', '--target', 'z', '--out', out, ...few, ...words);
  expect(withoutProgress(ran.err)).toBe('');
  return out;
}

describe('fit, predict and evaluate', () => {
  test('agree on numbers, whatever the order of the columns', async () => {
    const out = await fittedCurve();
    const rows = curveRows(80, 7);
    // Columns in another order, one more that is text, and CRLF.
    const shuffled = rows.map(([a, b, c, y, z]) => [c, 'note', z, a, y, b]);
    const data = await fileWith(csv([['c', 'remark', 'z', 'a', 'y', 'b'], ...shuffled], '\r\n'));
    const predicted = await kernel('predict', out, data, '--threads', '1');
    expect(predicted.code).toBe(0);
    const [header, ...lines] = predicted.out.trimEnd().split('\n');
    expect(header).toBe('y,z');
    expect(lines.length).toBe(80);
    const errors = [0, 1].map((output) => {
      const squares = lines.map(
        (line, row) => (Number(line.split(',')[output]) - Number(rows[row]?.[3 + output])) ** 2,
      );
      return Math.sqrt(squares.reduce((a, b) => a + b) / 80);
    });
    const { outputs } = JSON.parse((await kernel('evaluate', out, data, '--json', '--threads', '1')).out);
    expect(outputs.map(({ target }: { target: string }) => target)).toEqual(['y', 'z']);
    errors.forEach((error, output) => {
      expect(outputs[output].rootMeanSquare).toBeCloseTo(error, 5);
    });
    expect(outputs[1].determination).toBeGreaterThan(0.7);
    const told = await kernel('evaluate', out, data, '--threads', '1');
    expect(told.out).toMatch(/^80 rows\ny: root mean squared error [\d.]+, R² 0\.\d+\nz: root/);
  });

  test('agree on classes, and predict them by their names', async () => {
    const data = await fileWith(csv([['x1', 'x2', 'colour'], ...ringRows(400)]));
    const out = join(await temporaryFolder(), 'machine');
    const fitted = await kernel('fit', data, '--target', 'colour', '--task', 'classification', '--out', out, ...few);
    expect(fitted).toMatchObject({ code: 0, err: '' });
    expect(fitted.out).toMatch(/400 rows of 2 columns, gaussian kernel by 128 trigonometric features, gamma/);
    expect(fitted.out).toMatch(/On \d+ held-out rows, before it saw them:\naccuracy 9\d\.\d\d %|accuracy 100/);
    expect(fitted.out).toMatch(/class +rows +right +as /);
    expect(fitted.out).toContain(`performer kernel predict ${out}`);
    const fresh = ringRows(100, 5);
    const test = await fileWith(csv([['x1', 'x2', 'colour'], ...fresh]));
    const predicted = await kernel('predict', out, test, '--threads', '1');
    const lines = predicted.out.trimEnd().split('\n').slice(1);
    const right = lines.filter((line, row) => line.replaceAll('"', '') === fresh[row]?.[2]?.replaceAll('"', ''));
    expect(lines.some((line) => line === '"green, pale"')).toBe(true);
    const { accuracy, classes } = JSON.parse((await kernel('evaluate', out, test, '--json')).out);
    expect(accuracy).toBe(right.length / 100);
    expect(accuracy).toBeGreaterThan(0.9);
    expect([...classes].sort()).toEqual([...names].sort());
  });

  test('need no header, nor the target where it is to be predicted', async () => {
    const rows = ringRows(200).map(([a, b, label]) => [a, names.indexOf(label!.replaceAll('"', '')), b]);
    const data = await fileWith(csv(rows).replaceAll(',', ';'));
    const out = join(await temporaryFolder(), 'machine');
    const words = [
      '--no-header',
      '--delimiter',
      ';',
      '--target',
      '2',
      '--task',
      'classification',
      '--out',
      out,
      ...few,
    ];
    expect((await kernel('fit', data, ...words)).code).toBe(0);
    const whole = await kernel('predict', out, data, '--threads', '1');
    const inputsAlone = await fileWith(csv(rows.map(([a, , b]) => [a, b])).replaceAll(',', ';'));
    const alone = await kernel('predict', out, inputsAlone, '--threads', '1');
    expect(whole.out.trimEnd().split('\n').length).toBe(200);
    expect(alone.out).toBe(whole.out);
    const wrong = await kernel('predict', out, await fileWith('1;2;3;4\n'));
    expect(wrong).toMatchObject({ code: 1, out: '' });
    expect(wrong.err).toMatch(/expected 3 columns as in the fit, or the 2 inputs alone, got 4/);
  });

  test('give the same machine for the same seed, and write predictions to a file', async () => {
    const [first, again, other] = [await fittedCurve(), await fittedCurve(), await fittedCurve('--seed', '1')];
    const weights = (folder: string) => readFile(join(folder, 'model.safetensors'));
    expect(await weights(again)).toEqual(await weights(first));
    expect(await weights(other)).not.toEqual(await weights(first));
    const data = await fileWith(csv([['a', 'b', 'c'], ...curveRows(2500, 7).map((row) => row.slice(0, 3))]));
    const out = join(await temporaryFolder(), 'predictions.csv');
    const ran = await kernel('predict', first, data, '--out', out, '--threads', '1');
    expect(ran.out).toBe(`2,500 predictions are in ${out}.\n`);
    expect(await readFile(out, 'utf8')).toBe((await kernel('predict', first, data, '--threads', '1')).out);
  });

  test('leave out columns, and take lambda and gamma as they are given', async () => {
    const data = await fileWith(csv([['id', 'a', 'b', 'c', 'y', 'z'], ...curveRows(60).map((row) => ['K7', ...row])]));
    const out = join(await temporaryFolder(), 'machine');
    const words = ['--ignore', 'id', '--ignore', 'y', '--lambda', '0.01', '--gamma', '0.5', '--held-out', '0'];
    const ran = await kernel('fit', data, '--target', 'z', '--out', out, ...words, ...few);
    expect(ran.out).toMatch(/60 rows of 3 columns.*gamma 0\.500, lambda 0\.0100/);
    expect(ran.out).toContain('No rows were held out');
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8'));
    expect(config).toMatchObject({
      gamma: 0.5,
      lambda: 0.01,
      dim: 3,
      names: { inputs: ['a', 'b', 'c'], targets: ['z'] },
    });
  });
});

test('predictions that differ in the tenth digit are told apart, and their file measures what evaluate says', async () => {
  const rows = curveRows(300).map(([a, b, c, y]) => [a, b, c, 1.7e9 + Number(y)]);
  const data = await fileWith(csv([['a', 'b', 'c', 'y'], ...rows]));
  const out = join(await temporaryFolder(), 'machine');
  expect(withoutProgress((await kernel('fit', data, '--target', 'y', '--out', out, ...few)).err)).toBe('');
  const lines = (await kernel('predict', out, data, '--threads', '1')).out.trimEnd().split('\n').slice(1);
  expect(new Set(lines).size).toBeGreaterThan(290);
  for (const line of lines) expect(String(Number(line))).toBe(line);
  const errors = lines.map((line, row) => (Number(line) - Number(rows[row]?.[3])) ** 2);
  const { outputs } = JSON.parse((await kernel('evaluate', out, data, '--json', '--threads', '1')).out);
  expect(Math.sqrt(errors.reduce((a, b) => a + b) / 300)).toBeCloseTo(outputs[0].rootMeanSquare, 6);
});

test('a folder that is not to be overwritten is found out before the table is read', async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, 'model.safetensors'), 'of another');
  const ran = await kernel('fit', join(folder, 'missing.csv'), '--target', 'y', '--out', folder, ...few);
  expect(ran.err).toMatch(/expected a new folder, or one of a kernel machine, got one with model\.safetensors alone/);
  expect(ran.code).toBe(1);
  expect(await readFile(join(folder, 'model.safetensors'), 'utf8')).toBe('of another');
});

describe('tables as others write them', () => {
  test('an index without a name is left out with a note, and predictions need none', async () => {
    const rows = curveRows(60).map((row, at) => [at, ...row]);
    const data = await fileWith(csv([['', 'a', 'b', 'c', 'y', 'z'], ...rows]));
    const out = join(await temporaryFolder(), 'machine');
    const words = ['fit', data, '--target', ' y ', '--ignore', 'z', '--out', out, ...few];
    const ran = await kernel(...words);
    expect(ran.out).toMatch(/60 rows of 3 columns/);
    expect(ran.err).toMatch(/^performer: left out unnamed-1: no name/);
    const named = await kernel(
      'predict',
      out,
      await fileWith(csv([['a', 'b', 'c'], ...curveRows(5).map((row) => row.slice(0, 3))])),
    );
    expect(named.out.trimEnd().split('\n').length).toBe(6);
    expect(await kernel(...words, '--ignore', 'unnamed-1')).toMatchObject({ code: 0, err: '' });
  });

  test('latin1 keeps classes apart that would be one in utf-8, and predictions name them', async () => {
    const rows = ringRows(200).map(([a, b, colour]) => [a, b, colour === '"red"' ? 'b\u00fc' : 'b\u00f6']);
    const data = await fileWith('');
    await writeFile(data, Buffer.from(csv([['x1', 'x2', 'colour'], ...rows]), 'latin1'));
    const out = join(await temporaryFolder(), 'machine');
    const words = ['fit', data, '--target', 'colour', '--task', 'classification', '--out', out, ...few];
    const refused = await kernel(...words);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/line 2, column 3 \("colour"\): expected text in utf-8/);
    expect((await kernel(...words, '--encoding', 'latin1')).code).toBe(0);
    // The encoding is remembered with the machine, and may be another for another file.
    for (const [encoding, flags] of [
      ['latin1', []],
      ['utf16le', ['--encoding', 'utf-16le']],
    ] as const) {
      await writeFile(data, Buffer.from(csv([['x1', 'x2', 'colour'], ...rows]), encoding));
      const { classes, accuracy } = JSON.parse((await kernel('evaluate', out, data, '--json', ...flags)).out);
      expect([...classes].sort()).toEqual(['b\u00f6', 'b\u00fc']);
      expect(accuracy).toBeGreaterThan(0.9);
    }
  });

  test('another delimiter than that of the fit is asked about, and taken', async () => {
    const machine = await fittedCurve();
    const data = await fileWith(
      csv([['a', 'b', 'c'], ...curveRows(5).map((row) => row.slice(0, 3))]).replaceAll(',', ';'),
    );
    const asked = await kernel('predict', machine, data);
    expect(asked.err).toMatch(/expected a column "a".*Say --delimiter ";"/);
    expect((await kernel('predict', machine, data, '--delimiter', ';')).out).toMatch(/^y;z\n/);
  });
});

test('progress goes to standard error and is wiped from a terminal', async () => {
  const data = await fileWith(csv([['a', 'b', 'c', 'y', 'z'], ...curveRows(300)]));
  const out = join(await temporaryFolder(), 'machine');
  const ran = await performer(['kernel', 'fit', data, '--target', 'y', '--ignore', 'z', '--out', out, ...few], {
    isTTY: true,
  });
  expect(ran.code).toBe(0);
  expect(ran.err).toMatch(/starting: 0 rows, 0s/);
  expect(ran.err).toContain('\x1b[2K'); // the line is cleared
  expect(ran.err).not.toContain('\x1b[?'); // and no mode of the terminal was changed
  expect(ran.out).toMatch(/^300 rows of 3 columns/);
});

describe('help', () => {
  test('kernel fit --help names every option and the maps of every kernel', async () => {
    const { code, out } = await kernel('fit', '--help');
    expect(code).toBe(0);
    for (const key of Object.keys(fitSchema.shape)) {
      expect(out).toMatch(new RegExp(`--(\\[no-\\])?${flagName(key)}[ \\n]`));
    }
    expect(out).toMatch(/gaussian +trigonometric, positive, hyperbolic/);
    expect((await kernel('--help')).out).toMatch(/fit.*predict.*evaluate/s);
  });
});

describe('calling it wrongly ends with 2 and one line', () => {
  test.each<[string, string[], RegExp]>([
    ['no command', [], /Usage: performer kernel/],
    ['an unknown one', ['fti'], /unknown command 'fti'/],
    ['no folder', ['fit', 'x.csv', '--target', 'y'], /expected --out/],
    ['no target', ['fit', 'x.csv', '--out', 'm'], /expected --target/],
    ['no features', ['fit', 'x.csv', '--out', 'm', '--target', 'y', '--feature-count', '0'], /--feature-count.*>=1/],
    ['a wrong kernel', ['fit', 'x.csv', '--out', 'm', '--target', 'y', '--kernel', 'gauss'], /--kernel.*gaussian/],
    [
      'a map of another',
      ['fit', 'x.csv', '--out', 'm', '--target', 'y', '--kernel', 'linear', '--map', 'relu'],
      /--map: the linear/,
    ],
    ['no way to lambda', ['fit', 'x.csv', '--out', 'm', '--target', 'y', '--held-out', '0'], /--lambda: neither/],
    [
      'a delimiter of two',
      ['fit', 'x.csv', '--out', 'm', '--target', 'y', '--delimiter', ',,'],
      /--delimiter: expected one/,
    ],
    [
      'a target twice',
      ['fit', 'x', '--out', 'm', '--target', 'y', '--target', ' y '],
      /each column once, got "y" twice/,
    ],
    [
      'a target to ignore',
      ['fit', 'x', '--out', 'm', '--target', 'y', '--ignore', 'y'],
      /each column once, got "y" twice/,
    ],
    ['no such encoding', ['fit', 'x', '--out', 'm', '--target', 'y', '--encoding', 'ebcdic'], /--encoding.*utf-16le/],
    [
      'two classes to predict',
      ['fit', 'x', '--out', 'm', '--target', 'y', '--target', 'z', '--task', 'classification'],
      /--target: expected one/,
    ],
    ['a misspelt flag', ['predict', 'm', 'x.csv', '--outt', 'y'], /--outt.*Did you mean --out/],
  ])('%s', async (_, words, message) => {
    const { code, out, err } = await kernel(...words);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});

describe('a table that does not fit ends with 1, one line, and nothing written', () => {
  const good = curveRows(40);
  const withRow = (row: readonly string[]) =>
    csv([['a', 'b', 'c', 'y', 'z'], ...good.slice(0, 5), row, ...good.slice(5)]);

  test.each<[string, string, RegExp]>([
    [
      'text in a column of numbers',
      withRow(['1', 'tall', '3', '4', '5']),
      /data\.csv, line 7: expected a number in column "b", got "tall"/,
    ],
    ['an empty field', withRow(['1', '', '3', '4', '5']), /line 7: .*"b", got nothing/],
    ['NaN', withRow(['1', '2', 'NaN', '4', '5']), /line 7: .*"c", got "NaN"/],
    ['a number too large', withRow(['1', '2', '1e999', '4', '5']), /line 7: .*"1e999"/],
    ['a target that is text', withRow(['1', '2', '3', 'high', '5']), /line 7: .*"y", got "high"/],
    ['a ragged row', withRow(['1', '2', '3', '4']), /line 7: expected 5 fields as in the first row, got 4/],
    [
      'no such target',
      csv([
        ['a', 'b'],
        ['1', '2'],
      ]),
      /expected a column "y", got a, b/,
    ],
    ['no rows', csv([['a', 'y']]), /at least two rows, got 0/],
    ['nothing but the target', csv([['y'], ['1'], ['2']]), /a column beside the targets/],
    ['an empty file', '', /empty file/],
  ])('%s', async (_, text, message) => {
    const folder = await temporaryFolder();
    const data = await fileWith(text);
    const { code, out, err } = await kernel('fit', data, '--target', 'y', '--out', join(folder, 'machine'), ...few);
    expect(err).toMatch(message);
    expect(err.trimEnd()).not.toContain('\n');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(await readdir(folder)).toEqual([]);
  });

  test('too many classes, an unknown one, and none', async () => {
    const folder = join(await temporaryFolder(), 'machine');
    const words = ['--target', 'y', '--task', 'classification', '--out', folder, ...few];
    const many = await fileWith(csv([['a', 'y'], ...Array.from({ length: 1001 }, (_, row) => [row, row / 7])]));
    expect((await kernel('fit', many, ...words)).err).toMatch(/line 1002: expected at most 1000 classes.*regression\?/);
    const none = await fileWith(
      csv([
        ['a', 'y'],
        ['1', 'yes'],
        ['2', ''],
      ]),
    );
    expect((await kernel('fit', none, ...words)).err).toMatch(/line 3: expected a class, got nothing/);
    const good = await fileWith(
      csv([['a', 'y'], ...Array.from({ length: 40 }, (_, row) => [row, row % 2 ? 'no' : 'yes'])]),
    );
    expect((await kernel('fit', good, ...words)).code).toBe(0);
    const strange = await fileWith(
      csv([
        ['a', 'y'],
        ['1', 'maybe'],
      ]),
    );
    expect((await kernel('evaluate', folder, strange)).err).toMatch(/line 2: .*classes (yes, no|no, yes), got "maybe"/);
  });

  test('rows to predict with a column missing leave the old predictions', async () => {
    const machine = await fittedCurve();
    const out = await fileWith('old');
    for (const text of ['a,b\n1,2\n', `a,b,c\n${'1,2,3\n'.repeat(3000)}1,2,x\n`]) {
      const ran = await kernel('predict', machine, await fileWith(text), '--out', out);
      expect(ran.err).toMatch(/expected a column "c"|line 3002: expected a number in column "c"/);
      expect(ran.code).toBe(1);
      expect(await readFile(out, 'utf8')).toBe('old');
    }
  });

  test('a folder that is no machine, and one that is in use', async () => {
    const folder = await temporaryFolder();
    const data = await fileWith(csv([['a', 'b', 'c', 'y', 'z'], ...good]));
    expect((await kernel('predict', folder, data)).err).toMatch(/expected a folder with a kernel machine/);
    await writeFile(join(folder, 'thesis.txt'), '');
    const ran = await kernel('fit', data, '--target', 'y', '--out', folder, ...few);
    expect(ran.err).toMatch(/expected a new folder/);
    expect(ran.code).toBe(1);
  });
});

import { execFileSync } from 'node:child_process';
import { chmod, lstat, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { performer, temporaryFolder, textFile, trainedModel } from './support.js';

const modelFolder = trainedModel();

describe.skipIf(process.platform === 'win32')('the file of kernel predict', () => {
  let folder: string;
  let machine: string;
  let data: string;
  const predict = (out: string) => performer(['kernel', 'predict', machine, data, '--out', out, '--threads', '1']);
  beforeEach(async () => {
    folder = await temporaryFolder();
    machine = join(folder, 'machine');
    data = join(folder, 'data.csv');
    await writeFile(data, `a,y\n${Array.from({ length: 30 }, (_, row) => `${row},${row % 7}\n`).join('')}`);
    const words = ['--target', 'y', '--out', machine, '--feature-count', '16', '--threads', '1'];
    expect(await performer(['kernel', 'fit', data, ...words])).toMatchObject({ code: 0 });
  });

  test('is standard output where it is called -, or /dev/stdout', async () => {
    const plain = await performer(['kernel', 'predict', machine, data, '--threads', '1']);
    expect(plain.out.split('\n').length).toBe(32);
    for (const out of ['-', '/dev/stdout']) expect(await predict(out)).toEqual(plain);
    expect((await readdir(folder)).sort()).toEqual(['data.csv', 'machine']);
  });

  test('is the one that a link leads to, and stays as private as it was', async () => {
    await writeFile(join(folder, 'real.csv'), 'old', { mode: 0o600 });
    await symlink('real.csv', join(folder, 'link.csv'));
    expect(await predict(join(folder, 'link.csv'))).toMatchObject({ code: 0, err: '' });
    expect((await lstat(join(folder, 'link.csv'))).isSymbolicLink()).toBe(true);
    expect((await readFile(join(folder, 'real.csv'), 'utf8')).startsWith('y\n')).toBe(true);
    expect((await stat(join(folder, 'real.csv'))).mode & 0o777).toBe(0o600);
  });

  test('may be a pipe, which takes the lines as they come', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const [text, ran] = await Promise.all([readFile(pipe, 'utf8'), predict(pipe)]);
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(text.split('\n').length).toBe(32);
    expect((await stat(pipe)).isFIFO()).toBe(true);
  });

  test('that cannot be written is refused before the work, with the cause', async () => {
    await chmod(data, 0o600);
    const missing = await predict(join(folder, 'none', 'out.csv'));
    expect([missing.code, missing.err]).toEqual([
      1,
      `performer: --out: expected the folder ${join(folder, 'none')} for ${join(folder, 'none', 'out.csv')}, got none.\n`,
    ]);
    const taken = await predict(machine);
    expect([taken.code, taken.err]).toEqual([
      1,
      `performer: --out: expected a file to write at ${machine}, got EISDIR.\n`,
    ]);
  });
});

test('a state is not saved to standard output, where the text goes', async () => {
  const ran = await performer(['generate', await modelFolder(), '--prompt', 'a', '--save-state', '-']);
  expect([ran.code, ran.out, ran.err]).toEqual([
    2,
    '',
    'performer: --save-state: expected a file, got standard output, where the text goes. Name a file.\n',
  ]);
});

describe('a config file', () => {
  test('may begin with a byte order mark', async () => {
    const folder = await temporaryFolder();
    const [text, config, out] = [await textFile(folder), join(folder, 'options.json'), join(folder, 'run')];
    const sizes = { dim: 32, depth: 1, heads: 2, headDim: 8, attention: { features: { featureCount: 8 } } };
    const options = { ...sizes, window: 16, batch: 2, steps: 1 };
    await writeFile(config, `\ufeff${JSON.stringify(options)}`);
    expect(await performer(['train', text, '--out', out, '--config', config, '--threads', '1'])).toMatchObject({
      code: 0,
    });
  });

  test.skipIf(process.platform === 'win32')('that is a pipe, a device or no JSON is refused at once', async () => {
    const folder = await temporaryFolder();
    const [text, pipe, broken] = [await textFile(folder), join(folder, 'pipe'), join(folder, 'broken.json')];
    execFileSync('mkfifo', [pipe]);
    await writeFile(broken, '{"dim": 32,\n "depth" 1}');
    const refused = async (config: string) => {
      const { code, err } = await performer(['train', text, '--out', join(folder, 'run'), '--config', config]);
      return `${code} ${err}`;
    };
    for (const path of [pipe, '/dev/zero']) {
      expect(await refused(path)).toMatch(/^2 performer: --config \S+: .*got a device or pipe/);
    }
    expect(await refused(broken)).toMatch(/^2 performer: --config \S+: expected a file of JSON, got .*position/);
  });
});

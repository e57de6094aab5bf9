/** `--out` and `--resume`: refused before any work where they would destroy or misplace something. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { performer, small, temporaryFolder, textFile } from './support.js';

describe('a folder that holds what is not of a run', () => {
  test.each(['model.safetensors', 'metrics.jsonl', 'run.json'])('is refused for its %s, which stays', async (name) => {
    const folder = await temporaryFolder();
    const text = await textFile(folder);
    const out = join(folder, 'run');
    await mkdir(out);
    await writeFile(join(out, name), '{"mine": 1}\n');
    const { code, err, out: told } = await performer(['train', text, '--out', out, ...small]);
    expect(err).toMatch(
      new RegExp(`expected a folder without ${name}, which the run would overwrite, got one that has it`),
    );
    expect({ code, told }).toEqual({ code: 1, told: '' });
    expect(await readFile(join(out, name), 'utf8')).toBe('{"mine": 1}\n');
    expect((await readdir(out)).filter((each) => each !== 'checkpoints')).toEqual([name]);
  });

  test.each(['results.json', 'curves.csv', join('runs', 'elu-seed-0')])(
    'is refused by compare for its %s',
    async (name) => {
      const folder = await temporaryFolder();
      const out = join(folder, 'kernels');
      await mkdir(join(out, 'runs'), { recursive: true });
      await writeFile(join(out, name), 'mine');
      const words = ['compare', await textFile(folder), '--out', out, ...small, '--kernels', 'elu', '--seeds', '1'];
      expect(await performer(words)).toMatchObject({ code: 1, err: expect.stringContaining(`without ${name}, which`) });
      expect(await readFile(join(out, name), 'utf8')).toBe('mine');
    },
  );
});

test('a folder that is renamed while a run trains in it ends the run with 1, and is not made again', async () => {
  const folder = await temporaryFolder();
  const text = await textFile(folder);
  const out = join(folder, 'run');
  let renamed: Promise<void> | undefined;
  const ran = await performer(
    ['train', text, '--out', out, ...small, '--steps', '400', '--checkpoint-interval', '200'],
    {
      onText: (written) => {
        if (/step 1\/400/.test(written)) renamed ??= rename(out, `${out}-elsewhere`);
      },
    },
  );
  await renamed;
  expect(ran.err).toMatch(
    /^performer: save .*: expected the folder that this run has locked, got none or another: .*\n$/,
  );
  expect(ran.code).toBe(1);
  expect(await readdir(folder)).toEqual(['run-elsewhere', 'text.txt']);
});

describe('a run that is made longer', () => {
  const longer = async (...words: string[]) => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    const all = ['train', await textFile(folder), '--out', out, ...small, '--steps', '4', ...words];
    expect(await performer(all)).toMatchObject({ code: 0 });
    return performer(['train', '--out', out, '--resume', '--steps', '40']);
  };

  test('says before its first step how far the learning rate jumps', async () => {
    const { out } = await longer('--learning-rate', '1e-3');
    expect(out).toMatch(
      /^The learning rate goes from 2\.88e-4 at step 4 to 9\.86e-4 at step 5, as the schedule cosine now ends at step 40 instead of 4\. .*--schedule inverse-square-root/,
    );
  });

  test.each(['inverse-square-root', 'constant'])('says nothing where the schedule %s has no jump', async (schedule) => {
    const { out, code } = await longer('--schedule', schedule);
    expect(out).not.toMatch(/learning rate/);
    expect(code).toBe(0);
  });
});

test('metrics that cannot be written end a run that goes on, in one line that says what is wrong', async () => {
  const folder = await temporaryFolder();
  const out = join(folder, 'run');
  expect(await performer(['train', await textFile(folder), '--out', out, ...small])).toMatchObject({ code: 0 });
  await rm(join(out, 'metrics.jsonl'));
  await mkdir(join(out, 'metrics.jsonl'));
  const { code, err } = await performer(['train', '--out', out, '--resume', '--steps', '7']);
  expect(err).toMatch(/^performer: .*metrics\.jsonl: expected to write a line, got EISDIR\. It must be a file .*\n$/);
  expect(code).toBe(1);
});

test('a hidden width that rounds to 0 is refused by the name of its option', async () => {
  const folder = await temporaryFolder();
  const words = [await textFile(folder), '--out', join(folder, 'run'), ...small, '--feed-forward-multiplier', '0.01'];
  const { code, err } = await performer(['train', ...words]);
  expect(err).toMatch(/--feed-forward-multiplier: the hidden width, 32 times it, rounds to 0/);
  expect(code).toBe(2);
});

test.each(['--batch', '--window'])('%s 0 is refused', async (flag) => {
  const folder = await temporaryFolder();
  const words = ['train', await textFile(folder), '--out', join(folder, 'run'), ...small, flag, '0'];
  expect(await performer(words)).toMatchObject({ code: 2, err: expect.stringContaining(flag) });
});

test('a short run is evaluated once, at its end', async () => {
  const folder = await temporaryFolder();
  const { out } = await performer([
    'train',
    await textFile(folder),
    '--out',
    join(folder, 'run'),
    ...small,
    '--steps',
    '20',
  ]);
  expect(out.match(/held out: loss/g)).toHaveLength(1);
  expect(out).toMatch(/step 20\/20 {2}held out: loss/);
});

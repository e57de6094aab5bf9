/** The command as a process of its own, on the built package: killed, out of room, interrupted, and twice at once. */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { cp, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/models/node.js';
import { performer, small, temporaryFolder, textFile } from './support.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const limit = { timeout: 60_000 };

interface Process {
  readonly child: ChildProcess;
  /** What it wrote so far, to both streams. */
  readonly text: () => string;
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** Starts the command; `shell` is put before it. */
function start(words: readonly string[], shell?: string): Process {
  const whole = [process.execPath, main, ...words];
  const child =
    shell === undefined
      ? spawn(process.execPath, [main, ...words])
      : spawn('bash', ['-c', `${shell}; exec "$@"`, 'bash', ...whole]);
  return follow(child);
}

function follow(child: ChildProcessWithoutNullStreams): Process {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (text += String(piece)));
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  return { child, text: () => text, ended };
}

/** Resolves when the process has written this. */
async function written({ child, text, ended }: Process, pattern: RegExp): Promise<void> {
  let isOver = false;
  void ended.then(() => (isOver = true));
  while (!pattern.test(text())) {
    if (isOver) throw new Error(`ended without ${pattern}: ${text()}`);
    await Promise.race([once(child.stdout!, 'data'), once(child.stderr!, 'data'), ended]);
  }
}

/** Kills the process as soon as the draft of its `count`-th checkpoint appears. */
async function killWhileSaving({ child, ended }: Process, folder: string, count: number): Promise<void> {
  const checkpoints = join(folder, 'checkpoints');
  await mkdir(checkpoints, { recursive: true });
  const drafts = new Set<string>();
  const watcher = watch(checkpoints, (_, name) => {
    if (name?.startsWith('.step-')) drafts.add(name);
    if (drafts.size >= count) child.kill('SIGKILL');
  });
  expect(await ended).toBe('SIGKILL');
  watcher.close();
}

const checkpointsOf = async (folder: string) =>
  (await readdir(join(folder, 'checkpoints'))).filter((name) => name.startsWith('step-')).sort();

const digestOf = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/** The digests of the files of the last checkpoint, and the losses of all steps. */
async function resultOf(folder: string) {
  const last = join(folder, 'checkpoints', (await checkpointsOf(folder)).at(-1) as string);
  const lines = (await readFile(join(folder, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  return {
    model: await digestOf(join(last, 'model.safetensors')),
    training: await digestOf(join(last, 'training.safetensors')),
    options: await digestOf(join(last, 'training.json')),
    losses: lines.map((line) => JSON.parse(line)).map(({ kind, step, loss }) => ({ kind, step, loss })),
  };
}

beforeAll(() => {
  if (!existsSync(main)) throw new Error('expected the built package, got no dist. Run npm run build first.');
});

describe('a run', () => {
  const words = [...small, '--steps', '40', '--checkpoint-interval', '1', '--carry-state', '--redraw-interval', '5'];
  const prepare = async () => {
    const folder = await temporaryFolder();
    const train = ['train', await textFile(folder)];
    const whole = join(folder, 'whole');
    expect(await performer([...train, '--out', whole, ...words])).toMatchObject({ code: 0 });
    return { train, whole, out: join(folder, 'run') };
  };

  test(
    'killed again and again in the middle of saving keeps a loadable checkpoint, and ends as if unbroken',
    limit,
    async () => {
      const { train, whole, out } = await prepare();
      await killWhileSaving(start([...train, '--out', out, ...words]), out, 3);
      for (const count of [1, 2]) {
        const place = join(out, 'checkpoints', (await checkpointsOf(out)).at(-1) as string);
        await loadModel(place);
        await loadModel(out);
        await killWhileSaving(start(['train', '--out', out, '--resume', '--threads', '1']), out, count);
      }
      expect(await start(['train', '--out', out, '--resume', '--threads', '1']).ended).toBe(0);
      expect(await resultOf(out)).toEqual(await resultOf(whole));
      expect((await readdir(join(out, 'checkpoints'))).filter((name) => name.startsWith('.'))).toEqual([]);
    },
  );

  test.skipIf(process.platform === 'win32')(
    'that finds the disk full ends with 1 and one line, loses nothing, and goes on when there is room',
    limit,
    async () => {
      const { train, whole, out } = await prepare();
      await killWhileSaving(start([...train, '--out', out, ...words]), out, 3);
      const before = await checkpointsOf(out);
      // A limit on the size of a file stands for a disk without room: it fails the same write, with EFBIG.
      const full = start(['train', '--out', out, '--resume', '--threads', '1'], "trap '' XFSZ; ulimit -f 40");
      expect(await full.ended).toBe(1);
      const error = full
        .text()
        .split('\n')
        .filter((line) => line.startsWith('performer:'));
      expect(error).toHaveLength(1);
      expect(error[0]).toMatch(/save .*step-\d+: expected room on the disk, got EFBIG\. Free some space\. Earlier/);
      expect(await checkpointsOf(out)).toEqual(before);
      expect(await start(['train', '--out', out, '--resume', '--threads', '1']).ended).toBe(0);
      expect(await resultOf(out)).toEqual(await resultOf(whole));
    },
  );

  test('is the only one in its folder', limit, async () => {
    const folder = await temporaryFolder();
    const train = ['train', await textFile(folder), '--out', join(folder, 'run'), ...small, '--steps', '100000'];
    const first = start(train);
    await written(first, /step 1\//);
    const second = await performer(train);
    expect(second.err).toMatch(new RegExp(`expected no other training there, got process ${first.child.pid}\\.`));
    expect(second.code).toBe(1);
    first.child.kill('SIGTERM');
    expect(await first.ended).toBe(128 + 15);
    expect(first.text()).toMatch(/Stopped after step \d+ of 100000 .* and saved\. Go on with:\n {2}.*--resume/);
    expect(await readdir(join(folder, 'run'))).not.toContain('training.lock');
  });
});

describe.skipIf(!existsSync('/dev/full'))('output that finds the disk full', () => {
  const oneLine = /^performer: standard output: expected to write to it, got ENOSPC.*\. Free some space.*\n$/;

  test('is told with one line, and ends with 1', limit, async () => {
    const help = start(['train', '--help'], 'exec > /dev/full');
    expect(await help.ended).toBe(1);
    expect(help.text()).toMatch(oneLine);
  });

  test('ends a training after the step under way, which is saved', limit, async () => {
    const folder = await temporaryFolder();
    const out = join(folder, 'run');
    const words = ['train', await textFile(folder), '--out', out, ...small, '--steps', '100000'];
    const train = start(words, 'exec > /dev/full');
    expect(await train.ended).toBe(1);
    expect(train.text()).toMatch(oneLine);
    await loadModel(join(out, 'checkpoints', (await checkpointsOf(out)).at(-1) as string));
  });

  test.skipIf(process.platform === 'win32')('is no failure where the reader has gone', limit, async () => {
    const folder = await temporaryFolder();
    const words = ['train', await textFile(folder), '--out', join(folder, 'run'), ...small, '--steps', '100000'];
    const train = start(words, 'exec > >(head -n 1)');
    expect(await train.ended).toBe(0);
    expect(train.text()).not.toMatch(/performer:/);
  });
});

test.skipIf(process.platform === 'win32')('npm start that is told to end passes it on', limit, async () => {
  const folder = await temporaryFolder();
  const root = fileURLToPath(new URL('../../', import.meta.url));
  await cp(join(root, 'examples'), join(folder, 'examples'), { recursive: true });
  for (const name of ['dist', 'node_modules', 'package.json']) await symlink(join(root, name), join(folder, name));
  const example = follow(spawn(process.execPath, [join(folder, 'examples', 'moby-dick.mjs')]));
  await written(example, /step 1\//);
  example.child.kill('SIGTERM');
  expect(await example.ended).toBe(128 + 15);
  expect(example.text()).toMatch(/Stopped after step \d+ of .*\n {2}npx performer train --out .* --resume\n$/);
  expect(example.text()).not.toContain('main.js');
});

test.skipIf(process.platform === 'win32')(
  'a bench that is interrupted ends well, and leaves nothing behind',
  limit,
  async () => {
    const folder = await temporaryFolder();
    const json = join(folder, 'bench.json');
    const bench = start(['bench', '--length', '16', '--rounds', '1000', '--threads', '1', '--out', json]);
    await written(bench, /measuring: \d+ of 4,010 runs/);
    bench.child.kill('SIGINT');
    expect(await bench.ended).toBe(130);
    expect(bench.text()).toMatch(/Stopped before a round was whole\.|session creation/);
    expect((await readdir(folder)).filter((name) => name !== 'bench.json')).toEqual([]);
  },
);

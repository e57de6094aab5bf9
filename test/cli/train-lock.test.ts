/** Several processes, on the built package, that ask at once for a folder whose last training was killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { temporaryFolder } from './support.js';

const built = fileURLToPath(new URL('../../dist/training/node.js', import.meta.url));

/** Asks for the lock at each word, and answers whether it has it; at the next word it gives it back. */
const starter = (folder: string) => `
  import { lockFolder } from ${JSON.stringify(pathToFileURL(built).href)};
  let lock;
  process.on('message', async (word) => {
    if (word === 'ask') lock = await lockFolder(${JSON.stringify(folder)}).catch(() => undefined);
    else await lock?.release();
    process.send(word === 'ask' ? lock !== undefined : 'done');
  });
  process.send('ready');
`;

async function answersOf(children: readonly ChildProcess[], word: string): Promise<unknown[]> {
  const answers = children.map((child) => once(child, 'message'));
  for (const child of children) child.send(word);
  return (await Promise.all(answers)).map(([answer]) => answer);
}

test('of four that find the lock of a dead process exactly one has it, again and again', {
  timeout: 60_000,
}, async () => {
  if (!existsSync(built)) throw new Error('expected the built package, got no dist. Run npm run build first.');
  const folder = await temporaryFolder();
  const words = ['--input-type=module', '-e', starter(folder)];
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
  const children = Array.from({ length: 4 }, () => spawn(process.execPath, words, { stdio: [...stdio] }));
  try {
    await Promise.all(children.map((child) => once(child, 'message')));
    for (let round = 0; round < 150; round++) {
      const dead = { host: hostname(), pid: 999_999_999, started: String(round) };
      await writeFile(join(folder, 'training.lock'), JSON.stringify(dead));
      const answers = await answersOf(children, 'ask');
      expect(
        answers.filter((has) => has === true),
        `round ${round}`,
      ).toHaveLength(1);
      await answersOf(children, 'give back');
    }
  } finally {
    for (const child of children) child.kill();
  }
});

/** The README does what it says: its code runs on the built package, and its commands name flags that there are. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { performer, temporaryFolder, textFile } from './cli/support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const execute = promisify(execFile);

/** The blocks of a language, in order. */
function blocks(language: string): string[] {
  return [...readme.matchAll(/```(\w+)\n(.*?)```/gs)]
    .filter(([, name]) => name === language)
    .map(([, , body]) => body!);
}

test('the code in it runs, each block after those before it', async () => {
  if (!existsSync(join(root, 'dist'))) throw new Error('expected the built package, got no dist. Run npm run build.');
  const folder = await temporaryFolder();
  const text = await textFile(folder);
  const written: string[] = [];
  for (const block of blocks('js')) {
    const code = block.replaceAll("'book.txt'", JSON.stringify(text)).replaceAll("'runs/", `'${folder}/`);
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', code], { cwd: root });
    written.push(stdout);
  }
  const [attention, training, generation, reading] = written;
  expect(attention).toMatch(/\[ 1, 4096, 8, 64 \] 2097152/);
  expect(training?.trim().split('\n')).toHaveLength(20);
  expect(Buffer.byteLength(generation ?? '')).toBeGreaterThan(30);
  expect(reading).toBe(`${(await stat(text)).size} [ 1, 1, 256 ]\n`);
});

test('the flags of its commands are in their help', async () => {
  const commands = blocks('sh').flatMap((block) => block.match(/(?<=npx performer ).*?(?= {2}#|$)/gm) ?? []);
  expect(commands.length).toBeGreaterThan(6);
  for (const command of commands) {
    const [name, part] = command.split(' ') as [string, string];
    const { out } = await performer([name, ...(name === 'kernel' ? [part] : []), '--help']);
    for (const [flag] of command.matchAll(/--[a-z-]+/g)) {
      expect(out.replaceAll('--[no-]', '--'), flag).toContain(flag.replace('--no-', '--'));
    }
  }
});

test('the flags that its text names are flags of a command', async () => {
  const help = await Promise.all(
    ['train', 'generate', 'evaluate', 'compare', 'bench'].map((name) => performer([name, '--help'])),
  );
  const all = help.map(({ out }) => out.replaceAll('--[no-]', '--')).join('');
  for (const [, flag] of readme.matchAll(/`(--[a-z-]+)/g)) expect(all, flag).toContain(flag);
});

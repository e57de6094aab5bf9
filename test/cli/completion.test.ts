import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { performer, temporaryFolder } from './support.js';

const execute = promisify(execFile);
const commands = [
  ...[
    'train',
    'generate',
    'evaluate',
    'predict',
    'embed',
    'search',
    'import',
    'convert',
    'export',
    'compare',
    'features',
    'bench',
    'kernel',
    'completion',
  ],
];

/** What bash offers for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const { out } = await performer(['completion', 'bash']);
  const list = words.map((word) => `'${word}'`).join(' ');
  const script = `compopt() { :; }; COMP_WORDS=(performer ${list}); COMP_CWORD=${words.length}; _performer; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await execute('bash', ['-c', `${out}\n${script}`]);
  return stdout.split('\n').filter((line) => line !== '');
}

describe.skipIf(!existsSync('/bin/bash'))('completion in bash', () => {
  test('offers the commands, and those of a group', async () => {
    expect((await offered('')).sort()).toEqual([...commands].sort());
    expect(await offered('ge')).toEqual(['generate']);
    expect(await offered('kernel', '')).toEqual(['fit', 'predict', 'evaluate']);
    expect(await offered('completion', 'z')).toEqual(['zsh']);
  });

  test('offers every flag of the command, and no file in its place', async () => {
    const flags = await offered('train', '--');
    expect(flags).toEqual(expect.arrayContaining(['--out', '--reversible', '--no-reversible', '--quiet', '--help']));
    expect(await offered('kernel', 'evaluate', '--j')).toEqual(['--json']);
    expect(await offered('evaluate', '--w')).toEqual(['--window']);
  });

  test('offers the words that a flag may be given, and leaves files to the shell', async () => {
    expect(await offered('train', '--schedule', 'c')).toEqual(['cosine', 'constant']);
    expect(await offered('kernel', 'fit', '--task', '')).toEqual(['regression', 'classification']);
    expect(await offered('train', '--out', '')).toEqual([]);
    expect(await offered('train', '')).toEqual([]);
  });
});

describe.each([
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
])('completion in %s', (shell, check) => {
  test('names every command and every flag', async () => {
    const { code, out } = await performer(['completion', shell]);
    expect(code).toBe(0);
    for (const command of commands) expect(out).toContain(command);
    const { out: help } = await performer(['train', '--help']);
    for (const [, flag] of help.matchAll(/^ {2}--(?:\[no-\])?([a-z\d-]+)/gm)) {
      expect(out).toMatch(new RegExp(shell === 'zsh' ? `\\*--${flag}\\[` : ` -l ${flag} `));
    }
  });

  test.skipIf(!existsSync(`/usr/bin/${shell}`))('is sound where the shell is there', async () => {
    const { out } = await performer(['completion', shell]);
    const script = join(await temporaryFolder(), 'completion');
    await writeFile(script, out);
    expect((await execute(shell, [...check, script])).stderr).toBe('');
  });
});

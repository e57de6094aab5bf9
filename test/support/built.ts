/** Programs of their own on the built package, in an empty home. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** All that lies in its home and in its temporary folder. */
  readonly written: readonly string[];
}

/** Runs a module, after the words of `before`, with an environment that has nothing but a home and a temporary folder. */
export function runBuilt(code: string, { before = [] }: { readonly before?: readonly string[] } = {}): Ended {
  if (!existsSync(join(root, 'dist'))) throw new Error('expected the built package, got no dist. Run npm run build.');
  const [home, temporary] = ['home-', 'temporary-'].map((name) => mkdtempSync(join(tmpdir(), name))) as [
    string,
    string,
  ];
  const [program = '', ...words] = [...before, process.execPath, '--input-type=module', '-e', code];
  const env = { PATH: process.env.PATH, HOME: home, USERPROFILE: home, TMPDIR: temporary, TEMP: temporary };
  const { status, stdout, stderr } = spawnSync(program, words, { cwd: root, env, encoding: 'utf8' });
  const written = [home, temporary].flatMap((folder) => readdirSync(folder, { recursive: true }).map(String));
  return { code: status, out: stdout, err: stderr, written };
}

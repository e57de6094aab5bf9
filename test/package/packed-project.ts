/** A project with the file that npm would publish and the packages that it depends on, but without an engine. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const execute = promisify(execFile);

export interface PackedProject {
  /** The files of the package. */
  readonly paths: readonly string[];
  readonly folder: string;
  /** Puts an installed package and what it depends on at the project's disposal. */
  provide(name: string): Promise<void>;
  /** What a module in JavaScript prints. */
  run(code: string): Promise<string>;
  /** What a strict compiler says of files of the project, with these options beside. */
  complaints(files: readonly string[], options: object): Promise<string>;
  remove(): Promise<void>;
}

export async function packedProject(): Promise<PackedProject> {
  const folder = await mkdtemp(join(tmpdir(), 'performer-packed-'));
  const { stdout } = await execute('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
  const packed = JSON.parse(stdout);
  const { filename, files } = Array.isArray(packed) ? packed[0] : packed[manifest.name];
  await execute('tar', ['-xzf', join(folder, filename), '-C', folder]);
  await mkdir(join(folder, 'node_modules'));
  await rename(join(folder, 'package'), join(folder, 'node_modules', manifest.name));
  await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }');

  const provided = new Set<string>();
  const provide = async (name: string): Promise<void> => {
    const [place, source] = [join(folder, 'node_modules', name), join(root, 'node_modules', name)];
    if (provided.has(name)) return;
    provided.add(name);
    await mkdir(dirname(place), { recursive: true });
    await symlink(source, place);
    const { dependencies = {} } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
    for (const each of Object.keys(dependencies)) await provide(each);
  };
  for (const name of Object.keys(manifest.dependencies)) await provide(name);

  return {
    paths: (files as { path: string }[]).map(({ path }) => path),
    folder,
    provide,
    async run(code) {
      const file = join(folder, 'code.mjs');
      await writeFile(file, code);
      return (await execute(process.execPath, ['--preserve-symlinks', file], { cwd: folder })).stdout.trim();
    },
    async complaints(files, options) {
      // All declarations are checked but those of the compiler's own library.
      const checked = { skipLibCheck: false, skipDefaultLibCheck: true };
      const compilerOptions = { strict: true, target: 'ES2023', types: [], ...checked, ...options };
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
      const tsc = join(root, 'node_modules/typescript/bin/tsc');
      const told = await execute(process.execPath, [tsc], { cwd: folder }).catch(
        (cause) => cause as { stdout: string },
      );
      return told.stdout;
    },
    remove: () => rm(folder, { recursive: true }),
  };
}

/** The file that npm would publish: what is in it, and that it works where it is installed. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const execute = promisify(execFile);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

let paths: readonly string[] = [];
/** A project with the packed files and the packages that they depend on, but without an engine. */
let project = '';

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'performer-packed-'));
  const { stdout } = await execute('npm', ['pack', '--json', '--pack-destination', project], { cwd: root });
  const packed = JSON.parse(stdout);
  const { filename, files } = Array.isArray(packed) ? packed[0] : packed[manifest.name];
  paths = (files as { path: string }[]).map(({ path }) => path);
  await execute('tar', ['-xzf', join(project, filename), '-C', project]);
  await mkdir(join(project, 'node_modules'));
  await rename(join(project, 'package'), join(project, 'node_modules', manifest.name));
  for (const name of Object.keys(manifest.dependencies)) await provide(name);
  await writeFile(join(project, 'package.json'), '{ "type": "module", "private": true }');
});

afterAll(() => rm(project, { recursive: true }));

/** Puts an installed package at the project's disposal. */
async function provide(name: string): Promise<void> {
  const place = join(project, 'node_modules', name);
  await mkdir(dirname(place), { recursive: true });
  await symlink(join(root, 'node_modules', name), place);
}

async function runCode(code: string): Promise<string> {
  const file = join(project, 'code.mjs');
  await writeFile(file, code);
  return (await execute(process.execPath, ['--preserve-symlinks', file], { cwd: project })).stdout.trim();
}

const importRoom = (path: string) => `import '${manifest.name}${path.slice(1)}';`;

it('it holds what is built, the documents and the changes, and publint finds nothing to say', async () => {
  expect(paths).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'CHANGELOG.md', 'docs/engines.md']));
  expect(
    paths.filter(
      (path) => !/^(dist|docs)\/|^(README|CHANGELOG|CONTRIBUTING)\.md$|^LICENSE$|^package\.json$/.test(path),
    ),
  ).toEqual([]);
  const { messages, pkg } = await publint({ pkgDir: join(project, 'node_modules', manifest.name), pack: false });
  expect(messages.map((message) => formatMessage(message, pkg ?? manifest))).toEqual([]);
});

it('the relative links of its documents lead to files in it', async () => {
  const documents = paths.filter((path) => path.endsWith('.md'));
  for (const path of documents) {
    const text = (await readFile(join(root, path), 'utf8')).replaceAll(/```.*?```|`[^`]*`/gs, '');
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([\w./-]+)/g)) {
      expect(paths, `${path} links to ${target}`).toContain(join(dirname(path), target!));
    }
  }
});

it('every room loads without an engine, and an engine that is not installed is an error with the command', async () => {
  const rooms = Object.keys(manifest.exports).filter((path) => path !== './package.json');
  const written = await runCode(`
    ${rooms.map(importRoom).join('\n')}
    import { nodeEngine } from '${manifest.name}/engine/node';
    import { webEngine } from '${manifest.name}/engine/web';
    const told = async (make) => {
      try { await make(); } catch ({ code, message }) { console.log(code, message); }
    };
    await told(nodeEngine);
    await told(webEngine);`);
  const [node, web, ...rest] = written.split('\n');
  const { 'onnxruntime-node': nodeVersion, 'onnxruntime-web': webVersion } = manifest.devDependencies;
  expect(node).toMatch(/^DEVICE nodeEngine: expected the package onnxruntime-node, got none\./);
  expect(node).toContain(`npm install onnxruntime-node@${nodeVersion}.`);
  expect(node).toContain('ONNXRUNTIME_NODE_INSTALL=skip');
  expect(web).toMatch(/^DEVICE webEngine: expected the package onnxruntime-web, got none\./);
  expect(web).toContain(`npm install onnxruntime-web@${webVersion}.`);
  expect(rest).toEqual([]);
});

it('its declarations need neither an engine nor the types of Node, under either resolution of modules', {
  timeout: 240_000,
}, async () => {
  const rooms = Object.keys(manifest.exports).filter((path) => !/node$|package\.json$/.test(path));
  await writeFile(join(project, 'all.ts'), `${rooms.map(importRoom).join('\n')}\n`);
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  for (const [module, moduleResolution] of [
    ['NodeNext', 'NodeNext'],
    ['ESNext', 'Bundler'],
  ]) {
    const common = {
      strict: true,
      noEmit: true,
      target: 'ES2023',
      lib: ['ES2023', 'DOM'],
      types: [],
      skipLibCheck: false,
    };
    const config = { compilerOptions: { ...common, module, moduleResolution }, files: ['all.ts'] };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config));
    const { stdout } = await execute(process.execPath, [tsc], { cwd: project }).catch(
      (cause) => cause as { stdout: string },
    );
    expect(stdout, moduleResolution).toBe('');
  }
});

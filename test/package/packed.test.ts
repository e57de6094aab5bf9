/** The file that npm would publish: what is in it, and that it works where it is installed. */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { some } from '../support/product.js';
import { manifest, type PackedProject, packedProject, root } from './packed-project.js';

let project: PackedProject;

beforeAll(async () => {
  project = await packedProject();
});

afterAll(() => project.remove());

const importRoom = (path: string) => `import '${manifest.name}${path.slice(1)}';`;

it('it holds what is built, the documents and the changes, and publint finds nothing to say', async () => {
  expect(project.paths).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'CHANGELOG.md', 'docs/engines.md']));
  expect(
    project.paths.filter(
      (path) => !/^(dist|docs)\/|^(README|CHANGELOG|CONTRIBUTING)\.md$|^LICENSE$|^package\.json$/.test(path),
    ),
  ).toEqual([]);
  const { messages, pkg } = await publint({ pkgDir: join(project.folder, 'node_modules', manifest.name), pack: false });
  expect(messages.map((message) => formatMessage(message, pkg ?? manifest))).toEqual([]);
});

it('the relative links of its documents lead to files in it', async () => {
  const documents = project.paths.filter((path) => path.endsWith('.md'));
  for (const path of documents) {
    const text = (await readFile(join(root, path), 'utf8')).replaceAll(/```.*?```|`[^`]*`/gs, '');
    for (const [, target] of text.matchAll(/\]\((?!https?:|#|mailto:)([\w./-]+)/g)) {
      expect(project.paths, `${path} links to ${target}`).toContain(join(dirname(path), target!));
    }
  }
});

it('every room loads without an engine, and an engine that is not installed is an error with the command', async () => {
  const rooms = Object.keys(manifest.exports).filter((path) => path !== './package.json');
  const written = await project.run(`
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
  await writeFile(join(project.folder, 'all.ts'), `${rooms.map(importRoom).join('\n')}\n`);
  const resolutions = [
    ['NodeNext', 'NodeNext'],
    ['ESNext', 'Bundler'],
  ] as const;
  for (const [module, moduleResolution] of some(resolutions, 0)) {
    const options = { noEmit: true, lib: ['ES2023', 'DOM'], module, moduleResolution };
    expect(await project.complaints(['all.ts'], options), moduleResolution).toBe('');
  }
});

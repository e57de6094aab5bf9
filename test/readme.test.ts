/** The README does what it says: its code runs on the built package, and its commands name flags that there are. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { performer, temporaryFolder, textFile } from './cli/support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const execute = promisify(execFile);

/** The blocks of a language, in order. */
function blocks(language: string, text = readme): string[] {
  return [...text.matchAll(/```(\w+)\n(.*?)```/gs)].filter(([, name]) => name === language).map(([, , body]) => body!);
}

/** TypeScript without its types. */
function plain(code: string): string {
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

/** What a strict program says of modules, by name, in the root of the package; they import the package by its name. */
function complaints(modules: ReadonlyMap<string, string>): string[] {
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    types: ['node'],
  };
  const host = ts.createCompilerHost(options);
  const texts = new Map([...modules].map(([name, text]) => [join(root, name), text]));
  const fileExists = host.fileExists.bind(host);
  const readFile = host.readFile.bind(host);
  host.fileExists = (path) => texts.has(path) || fileExists(path);
  host.readFile = (path) => texts.get(path) ?? readFile(path);
  const sourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (path, version, ...rest) => {
    const text = texts.get(path);
    return text === undefined ? sourceFile(path, version, ...rest) : ts.createSourceFile(path, text, version);
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
}

const documents = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];

test('the code in it and in the docs compiles in strict TypeScript', { timeout: 180_000 }, () => {
  const samples = documents.flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    expect(blocks('js', text), `${path} has samples in JavaScript, which are not checked`).toEqual([]);
    const name = path.replaceAll(/\W/g, '-');
    return blocks('ts', text).map((code, index) => [`${name}-${index + 1}.ts`, code] as const);
  });
  expect(samples.length).toBeGreaterThan(5);
  const wrong = "import { float32 } from 'performer-ts/base';\nfloat32('no shape', []);";
  expect(complaints(new Map([...samples, ['wrong.ts', wrong]]))).toEqual([
    expect.stringMatching(/wrong\.ts: Argument of type 'string' is not assignable/),
  ]);
});

test('the code of kernel machines in the docs runs', async () => {
  const [code] = blocks('ts', readFileSync(join(root, 'docs/kernel-machines.md'), 'utf8'));
  const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', plain(code!)], { cwd: root });
  expect(Number(/Float64Array\(1\) \[ (.*) \]/.exec(stdout)?.[1])).toBeCloseTo(Math.sin(1), 1);
});

/** Runs the blocks of a document one after another, each in a process of its own, and returns what they print. */
async function printed(text: string): Promise<string[]> {
  if (!existsSync(join(root, 'dist'))) throw new Error('expected the built package, got no dist. Run npm run build.');
  const folder = await temporaryFolder();
  const book = await textFile(folder);
  const written: string[] = [];
  for (const block of blocks('ts', text).filter((each) => !each.includes('performer-ts/worker'))) {
    const code = plain(block).replaceAll("'book.txt'", JSON.stringify(book)).replaceAll("'runs/", `'${folder}/`);
    const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', code], { cwd: root });
    written.push(stdout);
  }
  return [...written, String((await stat(book)).size)];
}

test('the code in it runs, each block after those before it (that of a worker in the test of built pages)', {
  timeout: 240_000,
}, async () => {
  const [attention, layers, logits, training, classes, generation] = await printed(readme);
  expect(attention).toBe('2097152\n');
  expect(layers).toBe('6400\n6400\n6400\n');
  expect(logits).toBe('[ 9, 256 ] 2304\n');
  expect(training?.trim().split('\n')).toHaveLength(20);
  expect(classes).toMatch(/^((praise|blame) 0\.\d+\n){2}2\n$/);
  expect(Buffer.byteLength(generation ?? '')).toBeGreaterThan(30);
});

test('the code of the rooms in the docs runs', { timeout: 240_000 }, async () => {
  const rooms = await printed(readFileSync(join(root, 'docs/rooms.md'), 'utf8'));
  const [attention, training, context, generation, reading, length] = rooms;
  expect(attention).toMatch(/\[ 1, 4096, 8, 64 \] 2097152/);
  expect(training?.trim().split('\n')).toHaveLength(20);
  expect(context).toMatch(/^64 [\d.]+\n256 [\d.]+\n1024 [\d.]+\n1 1 [\d.]+\n2 2 [\d.]+\n3 4 [\d.]+\n/);
  expect(Buffer.byteLength(generation ?? '')).toBeGreaterThan(30);
  expect(reading).toBe(`${length} [ 1, 1, 256 ]\n`);
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
    ['train', 'generate', 'evaluate', 'predict', 'embed', 'compare', 'bench'].map((name) =>
      performer([name, '--help']),
    ),
  );
  const all = help.map(({ out }) => out.replaceAll('--[no-]', '--')).join('');
  for (const [, flag] of readme.matchAll(/`(--[a-z-]+)/g)) expect(all, flag).toContain(flag);
});

/** The rooms that write files as JavaScript, for processes of their own. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Writes `base`, `data` and `interop` into a folder. */
export async function transpileRooms(folder: string): Promise<void> {
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  for (const room of ['base', 'data', 'interop']) await transpileRoom(room, join(folder, room));
}

async function transpileRoom(room: string, target: string): Promise<void> {
  const source = fileURLToPath(new URL(`../../src/${room}/`, import.meta.url));
  for (const name of await readdir(source, { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    await mkdir(dirname(join(target, name)), { recursive: true });
    const { outputText } = ts.transpileModule(await readFile(join(source, name), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, verbatimModuleSyntax: true },
    });
    await writeFile(join(target, name.replace('.ts', '.js')), outputText);
  }
}

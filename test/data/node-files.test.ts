import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFiles } from '../../src/data/node.js';
import { readError, readFully } from '../../src/data/node-read.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-data-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fileOf(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

describe('files', () => {
  test('are read as one stream in the order given', async () => {
    const source = await openFiles([
      await fileOf('a', 'Call me '),
      await fileOf('b', 'Ish'),
      await fileOf('c', 'mael.'),
    ]);
    expect(source.length).toBe(16);
    expect(new TextDecoder().decode(await source.read(5, 10))).toBe('me Ishmael');
    expect((await source.read(16, 0)).length).toBe(0);
    await source.close();
  });

  test('can be read at many places at once', async () => {
    const bytes = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);
    const source = await openFiles([await fileOf('many', bytes)]);
    const offsets = Array.from({ length: 100 }, (_, index) => (index * 4871) % 4900);
    const reads = await Promise.all(offsets.map((offset) => source.read(offset, 100)));
    for (const [index, read] of reads.entries()) {
      expect([...read]).toEqual([...bytes.subarray(offsets[index]!, offsets[index]! + 100)]);
    }
    await source.close();
  });

  test('are refused with a clear line when missing, empty, a directory, a pipe, or none at all', async () => {
    const good = await fileOf('good', 'text');
    const empty = await fileOf('empty', '');
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const refused = (...paths: string[]) =>
      openFiles(paths).then(
        () => 'opened',
        (error) => `${error.code} ${error.message}`,
      );
    const missing = join(folder, 'missing');
    expect(await refused(good, missing)).toBe(`DATA read ${missing}: expected a file, got none there. Check the path.`);
    expect(await refused(`${good}/x`)).toContain('expected a file, got none there.');
    expect(await refused(empty)).toBe(`DATA read ${empty}: expected some bytes, got an empty file. Leave it out.`);
    expect(await refused(folder)).toBe(`DATA read ${folder}: expected a file, got a directory. Name the files in it.`);
    expect(await refused(pipe)).toContain('expected a file, got a device or pipe.');
    expect(await refused()).toBe('DATA openFiles: expected at least one file, got none. Name the files to read.');
  });

  test('that may not be read are told by the code of the system', () => {
    const denied = Object.assign(new Error('denied'), { code: 'EACCES' });
    expect(readError('DATA', 'read x', denied).message).toBe(
      'read x: expected a readable file, got EACCES. Check its permissions.',
    );
    expect(readError('DATA', 'read x', new Error('strange')).message).toContain('got strange.');
  });

  test('give an error when they shrink while they are read', async () => {
    const path = await fileOf('shrinks', 'x'.repeat(1000));
    const source = await openFiles([path]);
    await truncate(path, 300);
    expect((await source.read(0, 300)).length).toBe(300);
    await expect(source.read(200, 200)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('expected 200 bytes from 200, got 100. The file has shrunk'),
    });
    await source.close();
    await expect(source.read(0, 1)).rejects.toMatchObject({ code: 'DATA' });
  });

  test('are read to the end even when the system hands out a few bytes at a time', async () => {
    const content = Uint8Array.from({ length: 100 }, (_, index) => index);
    const slow = {
      async read(into: Uint8Array, offset: number, length: number, position: number) {
        const piece = content.subarray(position, position + Math.min(length, 7));
        into.set(piece, offset);
        return { bytesRead: piece.length, buffer: into };
      },
    };
    const file = slow as unknown as Parameters<typeof readFully>[0];
    const into = new Uint8Array(50);
    expect(await readFully(file, into, 25)).toBe(50);
    expect([...into]).toEqual([...content.subarray(25, 75)]);
    expect(await readFully(file, into, 90)).toBe(10);
  });
});

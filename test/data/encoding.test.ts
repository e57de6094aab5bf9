/** Tables in encodings other than UTF-8, and those that are not in the one that they should be in. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Encoding } from '../../src/data/index.js';
import { openCsv } from '../../src/data/node.js';

const folder = await mkdtemp(join(tmpdir(), 'performer-encoding-'));
afterAll(() => rm(folder, { recursive: true, force: true }));
let count = 0;

async function rowsOf(bytes: Uint8Array, encoding?: Encoding): Promise<(readonly string[])[]> {
  const path = join(folder, `${count++}.csv`);
  await writeFile(path, bytes);
  const table = await openCsv(path, { header: true, delimiter: ',', encoding });
  const rows = [table.columns];
  for await (const { fields } of table.rows()) rows.push(fields);
  return rows;
}

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const utf16le = (text: string) => Buffer.from(text, 'utf16le');
const utf16be = (text: string) => utf16le(text).swap16();

describe('a table is read in', () => {
  const text = 'größe,farbe\n1,grün\n2,gr€n\n';
  const expected = [
    ['größe', 'farbe'],
    ['1', 'grün'],
    ['2', 'gr€n'],
  ];
  const windows = latin1(text.replace('€', '\x80'));

  test.each<[string, Encoding | undefined, Uint8Array]>([
    ['utf-8', undefined, Buffer.from(text)],
    ['latin1', 'latin1', windows],
    ['windows-1252', 'windows-1252', windows],
    ['utf-16le', 'utf-16le', utf16le(text)],
    ['utf-16be', 'utf-16be', utf16be(text)],
    ['utf-8 as its mark says, whatever is asked for', 'latin1', Buffer.from(`\ufeff${text}`)],
    ['utf-16le as its mark says', undefined, utf16le(`\ufeff${text}`)],
    ['utf-16be as its mark says', undefined, utf16be(`\ufeff${text}`)],
  ])('%s', async (_, encoding, bytes) => {
    expect(await rowsOf(bytes, encoding)).toEqual(expected);
  });

  test('pieces that end within characters', async () => {
    const long = `a,b\n${'x,€\n'.repeat(50_000)}`; // 300 kB: several pieces
    const rows = await rowsOf(Buffer.from(long));
    expect(rows.length).toBe(50_001);
    expect(new Set(rows.slice(1).map(([, text]) => text))).toEqual(new Set(['€']));
  });

  test('utf-8 with U+FFFD in it, which is a character as others are', async () => {
    expect(await rowsOf(Buffer.from('a\n\ufffd\n'))).toEqual([['a'], ['\ufffd']]);
  });
});

describe('bytes of another encoding are an error that names line and column', () => {
  test.each<[string, Uint8Array, RegExp]>([
    ['in a row', latin1('id,colour\n1,red\n2,grün\n3,blue\n'), /line 3, column 2 \("colour"\): expected text in utf-8/],
    ['in the header', latin1('größe,farbe\n1,2\n'), /line 1, column 1: expected text in utf-8.*latin1/],
    ['in quotes', latin1('a,b\n1,"x\nü"\n'), /line 3, column 2 \("b"\)/],
    ['after quotes', latin1('a,b\n1,2\n"3"ü,4\n'), /line 3, column 1 \("a"\)/],
    ['at the end of the file', latin1('a,b\n1,2\n3,4é'), /line 3, column 2 \("b"\)/],
    ['at the start of a line', latin1('a,b\n1,2\nü,4\n'), /line 3, column 1 \("a"\)/],
    ['after several pieces', latin1(`a,b\n${'1,2\n'.repeat(50_000)}3,ü\n`), /line 50002, column 2 \("b"\)/],
  ])('%s', async (_, bytes, message) => {
    await expect(rowsOf(bytes)).rejects.toMatchObject({ code: 'DATA', message: expect.stringMatching(message) });
  });

  test('half a character of utf-16', async () => {
    const bytes = utf16le('a,b\n1,2\n3,x\n');
    bytes[bytes.length - 3] = 0xd8; // the first half of a pair, with no second
    await expect(rowsOf(bytes, 'utf-16le')).rejects.toThrow(/line 3, column 2 \("b"\): expected text in utf-16le/);
  });
});

test.each([
  ['utf-16le', utf16le('größe,Ω\n1,2\n')],
  ['utf-16be', utf16be('größe,Ω\n1,2\n')],
])('%s without a byte order mark is recognised, and named', async (encoding, bytes) => {
  for (const asked of [undefined, 'latin1'] as const) {
    await expect(rowsOf(bytes, asked)).rejects.toThrow(`Say --encoding ${encoding}.`);
  }
});

/** What a terminal is shown of data that comes from elsewhere. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Io, Output } from '../../src/cli/io.js';
import { rowProgress } from '../../src/cli/row-progress.js';
import { filteredIo, withoutControls } from '../../src/cli/terminal.js';
import { performer, temporaryFolder } from './support.js';

const hostile = '\x1b]0;title\x07\x1b[2Jred\u202e\u2066\x9b1A\x00';
const control = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

test('control characters but tabs and ends of lines are shown as U+FFFD', () => {
  expect(withoutControls(hostile)).toBe('\ufffd]0;title\ufffd\ufffd[2Jred\ufffd\ufffd\ufffd1A\ufffd');
  expect(withoutControls('a\tb\nc\r\nd\re é 漢 🐋')).toBe('a\tb\nc\r\nd\ufffde é 漢 🐋');
});

/** Both outputs of a world, as one text. */
function world(isTTY: boolean): { readonly io: Io; text(): string } {
  let written = '';
  const output = () =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          written += chunk;
          done();
        },
      }),
      { isTTY, columns: 80 },
    ) as unknown as Output;
  return { io: filteredIo({ stdout: output(), stderr: output() } as unknown as Io), text: () => written };
}

describe('a terminal', () => {
  test('gets text and bytes without control characters, and ends of lines that come in two pieces whole', () => {
    const { io, text } = world(true);
    for (const piece of ['a\r', '\nb\r', 'c', hostile]) io.stdout.write(piece);
    io.stdout.write(Buffer.from('\x1b[1m€').subarray(0, 5));
    io.stdout.write(Buffer.from('€').subarray(1));
    expect(text()).toBe(`a\r\nb\ufffdc${withoutControls(hostile)}\ufffd[1m€`);
  });

  test('obeys the codes of a progress bar, which has none of data', () => {
    const { io, text } = world(true);
    const progress = rowProgress(io.stderr);
    progress.show('reading', 5);
    progress.close();
    expect(text()).toContain('\x1b[2K');
  });
});

test('a file or a pipe gets the text as it is, and standard error is for people', () => {
  const { io, text } = world(false);
  io.stdout.write(hostile);
  io.stderr.write(hostile);
  expect(text()).toBe(hostile + withoutControls(hostile));
});

describe('no command shows data raw', () => {
  const lines = (rows: number) => Array.from({ length: rows }, (_, row) => `${row % 7},${row % 2 ? hostile : 'b'}\n`);

  test('names of classes and of files', async () => {
    const folder = await temporaryFolder();
    const data = join(folder, 'da\x1b[2Jta.csv');
    await writeFile(data, `a,y\n${lines(60).join('')}`);
    const words = ['--target', 'y', '--task', 'classification', '--feature-count', '8', '--threads', '1'];
    const ran = await performer(['kernel', 'fit', data, '--out', join(folder, 'm'), ...words], { isTTY: true });
    expect(ran.code).toBe(0);
    expect(ran.out).toContain(withoutControls(hostile));
    expect(ran.out).not.toMatch(control);
  });

  test.each<[string, string, string[]]>([
    ['columns', `${hostile},b\n1,2\n`, ['--target', 'y']],
    ['fields', `a,y\n${hostile},2\n`, ['--target', 'y']],
    ['flags', 'a,y\n1,2\n', ['--target', hostile]],
    ['unknown flags', 'a,y\n1,2\n', [`--${hostile.replaceAll('\0', '')}`]],
  ])('%s in an error', async (_, text, words) => {
    const folder = await temporaryFolder();
    const data = join(folder, 'data.csv');
    await writeFile(data, text);
    const ran = await performer(['kernel', 'fit', data, '--out', join(folder, 'm'), ...words]);
    expect(ran.code).toBeGreaterThan(0);
    expect(ran.err).toMatch(/^performer: /);
    expect(ran.err).not.toMatch(control);
  });
});

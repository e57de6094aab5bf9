import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AnyHostTensor, float32, hostTensor, int32 } from '../../src/base/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { readJson, readSafetensors, writeFileAtomic, writeSafetensors } from '../../src/interop/node.js';
import { writeFully } from '../../src/interop/node-files.js';
import { transpileRooms } from './transpile.js';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'performer-interop-'));
  path = join(folder, 'model.safetensors');
});
afterEach(() => rm(folder, { recursive: true }));

const tensors = new Map<string, AnyHostTensor>([
  ['blocks.0.weight', float32([2, 3], [1, 2, 3, 4, 5, 6])],
  ['flags', hostTensor('bool', [3], Uint8Array.of(1, 0, 1))],
  ['step', hostTensor('int64', [], BigInt64Array.of(12n))],
  ['empty', int32([0], [])],
]);

describe('a safetensors file', () => {
  test('gives back what was written, each tensor in an array of its own', async () => {
    await writeSafetensors(path, tensors, { format: 'pt' });
    const read = await readSafetensors(path);
    expect(read.metadata).toEqual({ format: 'pt' });
    expect(new Map([...read.tensors].sort())).toEqual(new Map([...tensors].sort()));
    for (const { data } of read.tensors.values()) expect(data.buffer.byteLength).toBe(data.byteLength);
    const { tensors: readTensors, metadata } = read;
    expect(decodeSafetensors('test', await readFile(path))).toEqual({ tensors: readTensors, metadata });
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  test('that is missing, a directory, empty or cut is refused in one clear line', async () => {
    const refusal = { code: 'CHECKPOINT', message: `read ${path}: expected a file, got none there. Check the path.` };
    await expect(readSafetensors(path)).rejects.toMatchObject(refusal);
    await expect(readSafetensors(folder)).rejects.toThrow('expected a file, got a directory.');
    await writeFile(path, '');
    await expect(readSafetensors(path)).rejects.toThrow('expected at least 8 bytes, got 0.');
    await writeSafetensors(path, tensors);
    const { length } = await readFile(path);
    await truncate(path, length - 1);
    await expect(readSafetensors(path)).rejects.toThrow(
      `read ${path}: expected a file of ${length} bytes by its header, got one of ${length - 1}.`,
    );
  });

  test('that claims more than memory holds is refused, although its size on disk agrees', async () => {
    const size = 2 ** 42;
    const header = { w: { dtype: 'F32', shape: [2 ** 40], data_offsets: [0, size] } };
    const json = JSON.stringify(header);
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(json.length));
    await writeFile(path, Buffer.concat([prefix, Buffer.from(json)]));
    await truncate(path, 8 + json.length + size); // sparse
    await expect(readSafetensors(path)).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringContaining('expected tensors that fit in memory'),
    });
  });
});

describe('a file written whole', () => {
  test('is made of all its chunks, bytes and text', async () => {
    await writeFileAtomic(path, ['한', Uint8Array.of(0x21), '글']);
    expect(await readFile(path, 'utf8')).toBe('한!글');
  });

  test('leaves the previous file untouched when the disk is full', async () => {
    await writeFile(path, 'previous');
    const probe = await open(path, 'r');
    const prototype = Object.getPrototypeOf(probe) as { write: () => Promise<never> };
    await probe.close();
    const { write } = prototype;
    prototype.write = () => Promise.reject(Object.assign(new Error('no room'), { code: 'ENOSPC' }));
    try {
      await expect(writeSafetensors(path, tensors)).rejects.toMatchObject({
        code: 'CHECKPOINT',
        message:
          `write ${path}: expected room on the disk, got ENOSPC. Free some space or write elsewhere. ` +
          'The previous file is untouched.',
      });
    } finally {
      prototype.write = write;
    }
    expect(await readFile(path, 'utf8')).toBe('previous');
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  test('leaves the previous file untouched when its content cannot be made', async () => {
    await writeFile(path, 'previous');
    const broken = function* () {
      yield 'half of the new';
      throw new Error('no more');
    };
    await expect(writeFileAtomic(path, broken())).rejects.toMatchObject({
      code: 'CHECKPOINT',
      message: expect.stringContaining('got no more.'),
    });
    expect(await readFile(path, 'utf8')).toBe('previous');
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  test('says so when there is no directory for it or a directory in its place', async () => {
    await expect(writeFileAtomic(join(folder, 'no', 'file'), ['x'])).rejects.toThrow(
      'expected a directory to write in, got ENOENT. Create it or write elsewhere.',
    );
    await mkdir(path);
    await expect(writeFileAtomic(path, ['x'])).rejects.toThrow('expected a file to write, got EISDIR.');
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  test('is complete even when the system takes a few bytes at a time', async () => {
    const written: number[] = [];
    const slow = {
      async write(bytes: Uint8Array, offset: number, length: number) {
        const piece = bytes.subarray(offset, offset + Math.min(length, 7));
        written.push(...piece);
        return { bytesWritten: piece.length, buffer: bytes };
      },
    };
    const chunk = encodeSafetensors(tensors)[0]!;
    await writeFully(slow as unknown as Parameters<typeof writeFully>[0], chunk);
    expect(written).toEqual([...chunk]);
    const stuck = { write: async (bytes: Uint8Array) => ({ bytesWritten: 0, buffer: bytes }) };
    await expect(writeFully(stuck as unknown as Parameters<typeof writeFully>[0], chunk)).rejects.toThrow('no bytes');
  });

  test('leaves the previous file whole when the process is killed in the middle', async () => {
    await writeFile(path, 'previous');
    await transpileRooms(folder);
    const script = `
      import { writeFileAtomic } from ${JSON.stringify(join(folder, 'interop', 'node.js'))};
      await writeFileAtomic(${JSON.stringify(path)}, (function* () {
        yield 'half of the new';
        process.kill(process.pid, 'SIGKILL');
        yield 'the other half';
      })());`;
    await writeFile(join(folder, 'killed.mjs'), script);
    const { signal, stderr, pid } = spawnSync(process.execPath, [join(folder, 'killed.mjs')], { encoding: 'utf8' });
    expect([signal, stderr]).toEqual(['SIGKILL', '']);
    expect(await readFile(path, 'utf8')).toBe('previous');
    expect(await readFile(`${path}.${pid}.tmp`, 'utf8')).toBe('half of the new');
  });
});

describe('a JSON file', () => {
  test('is read as the value that it holds', async () => {
    await writeFile(path, '\ufeff{"a": [1, "한"]}');
    expect(await readJson(path)).toEqual({ a: [1, '한'] });
  });

  test('that is missing, a directory, malformed or no UTF-8 is refused in one clear line', async () => {
    const refused = () => readJson(path).catch((error) => `${error.code} ${error.message}`);
    expect(await refused()).toBe(`CHECKPOINT read ${path}: expected a file, got none there. Check the path.`);
    expect(await readJson(folder).catch((error) => error.message)).toContain('got a directory.');
    for (const content of ['', '{"a":\n', Buffer.from([0x22, 0xff, 0x22])]) {
      await writeFile(path, content);
      expect(await refused()).toBe(`CHECKPOINT read ${path}: expected JSON, got other text. Get the file again.`);
    }
  });
});

test('a file that shrinks between its header and its tensors is refused', async () => {
  await writeSafetensors(path, tensors);
  const { length } = await readFile(path);
  const probe = await open(path, 'r');
  const prototype = Object.getPrototypeOf(probe) as { read: (...parameters: unknown[]) => Promise<unknown> };
  await probe.close();
  const { read } = prototype;
  let reads = 0;
  prototype.read = async function (...parameters) {
    if (++reads === 3) await truncate(path, length - 20); // after the length and the header
    return read.apply(this, parameters);
  };
  try {
    await expect(readSafetensors(path)).rejects.toThrow('as the file was cut while it was read');
  } finally {
    prototype.read = read;
  }
});

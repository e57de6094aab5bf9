/** Safetensors files in Node: read tensor by tensor, written whole or not at all, digested on the way. */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { AnyHostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { openRegularFile, readError, readFully } from '../data/node-read.js';
import { writeFileAtomic } from './node-files.js';
import { encodeSafetensors, type Safetensors, tensorFromBuffer, type WeightDtype } from './safetensors.js';
import {
  parseSafetensorsHeader,
  prefixLength,
  refuse,
  safetensorsHeaderLength,
  storedDtypes,
} from './safetensors-header.js';

/** What a safetensors file holds, and the SHA-256 of all its bytes in hexadecimal. */
export interface SafetensorsFile extends Safetensors {
  readonly digest: string;
}

/** Names, dtypes and shapes of the tensors of a file. */
export type SafetensorsLayout = ReadonlyMap<string, Pick<AnyHostTensor, 'dtype' | 'shape'>>;

/**
 * The tensors of a safetensors file, each read from disk into an array of its own; F16 and BF16 become float32. `check`
 * gets names, dtypes and shapes, and the metadata, before any tensor is read, and throws where they are not what is
 * expected.
 * Throws CHECKPOINT when the file is missing, unreadable, not sound, or cut short while it is read.
 */
export async function readSafetensors(
  path: string,
  check?: (layout: SafetensorsLayout, metadata: Readonly<Record<string, string>>) => void,
): Promise<SafetensorsFile> {
  return withHeader(path, async ({ file, where, entries, layout, metadata, header }) => {
    check?.(layout, metadata);
    const hash = createHash('sha256');
    for (const bytes of header) hash.update(bytes);
    const tensors = new Map<string, AnyHostTensor>();
    for (const entry of entries) {
      const bytes = await readBytes(where, file, entry.start, entry.byteLength);
      hash.update(bytes);
      tensors.set(entry.name, tensorFromBuffer(entry, bytes.buffer));
    }
    return { tensors, metadata, digest: hash.digest('hex') };
  });
}

/** The layout of a safetensors file, whose tensors are not read. Throws CHECKPOINT when it is missing, unreadable or not sound. */
export function readSafetensorsLayout(path: string): Promise<SafetensorsLayout> {
  return withHeader(path, async ({ layout }) => layout);
}

interface OpenHeader extends ReturnType<typeof parseSafetensorsHeader> {
  readonly file: FileHandle;
  readonly where: string;
  readonly layout: SafetensorsLayout;
  /** The bytes before the tensors. */
  readonly header: readonly Uint8Array[];
}

async function withHeader<T>(path: string, work: (opened: OpenHeader) => Promise<T>): Promise<T> {
  const where = `read ${path}`;
  const { file, size } = await openRegularFile('CHECKPOINT', where, path);
  try {
    const prefix = await readBytes(where, file, 0, Math.min(prefixLength, size));
    const headerLength = safetensorsHeaderLength(where, prefix, size);
    const headerBytes = await readBytes(where, file, prefixLength, headerLength);
    const { entries, metadata } = parseSafetensorsHeader(where, headerBytes, size);
    const layout = entries.map(
      ({ name, stored, shape }) => [name, { dtype: storedDtypes[stored].dtype, shape }] as const,
    );
    return await work({
      ...{ file, where, entries, metadata },
      ...{ layout: new Map(layout), header: [prefix, headerBytes] },
    });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw readError('CHECKPOINT', where, cause);
    throw new PerformerError(
      'CHECKPOINT',
      `${where}: expected tensors that fit in memory, got ${size} bytes. Use a machine with more memory.`,
      { cause },
    );
  } finally {
    await file.close();
  }
}

async function readBytes(
  where: string,
  file: Pick<FileHandle, 'read'>,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  const got = await readFully(file, bytes, position);
  if (got < length) refuse(where, `${length} bytes from ${position}`, `${got}, as the file was cut while it was read`);
  return bytes;
}

/**
 * Writes a safetensors file and returns the SHA-256 of its bytes in hexadecimal; see `writeFileAtomic` for what happens on
 * failure, and `encodeSafetensors` for how weights are kept. The arrays are not copied: leave them unchanged until it is done. Throws CHECKPOINT.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, AnyHostTensor>,
  metadata?: Readonly<Record<string, string>>,
  dtypeOf?: (name: string) => WeightDtype,
): Promise<string> {
  const chunks = encodeSafetensors(tensors, metadata, dtypeOf);
  const hash = createHash('sha256');
  const digested = function* () {
    for (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
  await writeFileAtomic(path, digested());
  return hash.digest('hex');
}

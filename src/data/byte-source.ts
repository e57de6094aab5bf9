/**
 * Byte sources: a corpus as one addressable run of bytes, wherever it lies (memory, one file, many files), read in
 * pieces so that it never has to be in memory as a whole.
 */
import { PerformerError } from '../base/errors.js';

/** Bytes that can be read at any place, in memory or on a disk. */
export interface ByteSource {
  /** Bytes in the whole source. */
  readonly length: number;
  /** Exactly `length` bytes from `offset` on; the caller must not write to them. Throws DATA when they are not there. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** Throws DATA unless the range lies within `total` bytes, or other units. */
export function expectRange(where: string, offset: number, length: number, total: number, unit = 'bytes'): void {
  const isWhole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (!isWhole || offset < 0 || length < 0 || offset + length > total) {
    throw new PerformerError(
      'DATA',
      `${where}: expected a range within ${total} ${unit}, got ${length} ${unit} from ${offset}. Ask for ${unit} that exist.`,
    );
  }
}

/** A source over bytes in memory, which are kept and not copied. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    length: bytes.length,
    async read(offset, length) {
      expectRange('bytesSource', offset, length, bytes.length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** The bytes from `start` up to, not including, `end` as a source of their own. Throws DATA when they are not there. */
export function sliceSource(source: ByteSource, start: number, end: number): ByteSource {
  expectRange('sliceSource', start, end - start, source.length);
  const total = end - start;
  return {
    length: total,
    async read(offset, length) {
      expectRange('sliceSource', offset, length, total);
      return source.read(start + offset, length);
    },
  };
}

/** All sources one after another as one. */
export function joinSources(sources: readonly ByteSource[]): ByteSource {
  const total = sources.reduce((sum, source) => sum + source.length, 0);
  return {
    length: total,
    async read(offset, length) {
      expectRange('joinSources', offset, length, total);
      const pieces: Uint8Array[] = [];
      let start = 0;
      for (const source of sources) {
        const from = Math.max(offset - start, 0);
        const to = Math.min(offset + length - start, source.length);
        if (from < to) pieces.push(await source.read(from, to - from));
        start += source.length;
      }
      return pieces.length === 1 ? (pieces[0] as Uint8Array) : concatenate(pieces, length);
    },
  };
}

/** Pieces one behind another, which have so many bytes together. */
export function concatenate(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

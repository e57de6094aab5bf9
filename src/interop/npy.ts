/**
 * NumPy's .npy files (format 1.0) with a matrix of float32, row after row, little-endian:
 *
 *     6 bytes   \x93NUMPY
 *     2 bytes   the version, 1.0
 *     2 bytes   length of the header, unsigned little-endian
 *     header    a Python dict: descr '<f4', fortran_order False, shape (rows, columns); spaces, and an end of line
 *     values    rows·columns float32
 */
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';

/** Bytes before the values in the files that are written: a multiple of 64, with room for any number of rows. */
export const npyStart = 128;

const magic = [0x93, ...new TextEncoder().encode('NUMPY'), 1, 0];

/** A matrix in a file. */
export interface NpyLayout {
  readonly rows: number;
  readonly columns: number;
  /** Bytes before the values. */
  readonly start: number;
}

/** What stands before the values of a matrix, `npyStart` bytes. */
export function npyHeader(rows: number, columns: number): Uint8Array {
  const dict = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const bytes = new Uint8Array(npyStart);
  bytes.set(magic);
  new DataView(bytes.buffer).setUint16(magic.length, npyStart - magic.length - 2, true);
  bytes.set(new TextEncoder().encode(`${dict.padEnd(npyStart - magic.length - 3)}\n`), magic.length + 2);
  return bytes;
}

const dictPattern =
  /^\{\s*'descr': *'<f4', *'fortran_order': *False, *'shape': *\((\d{1,15}), *(\d{1,15}),?\),? *\}\s*$/;

/**
 * The matrix of a file, by its first bytes (all of them, or 64 KiB) and its length in bytes.
 *
 * @throws DATA for another file, numbers of another kind or order, another number of axes, and a file that was cut or goes on.
 */
export function npyLayout(where: string, bytes: Uint8Array, length: number): NpyLayout {
  const isNpy = magic.every((byte, at) => bytes[at] === byte) && bytes.length >= magic.length + 2;
  if (!isNpy) throw npyError(where, 'an .npy file of format 1.0', 'another file');
  const start = magic.length + 2 + new DataView(bytes.buffer, bytes.byteOffset).getUint16(magic.length, true);
  const dict = new TextDecoder('latin1').decode(bytes.subarray(magic.length + 2, start));
  const [, rows, columns] = dictPattern.exec(dict)?.map(Number) ?? [];
  if (rows === undefined || columns === undefined) {
    throw npyError(where, 'a matrix of float32 (<f4), row after row', escaped(dict.trim()));
  }
  const expected = start + 4 * rows * columns;
  if (length === expected) return { rows, columns, start };
  throw npyError(where, `${expected} bytes for ${rows} rows of ${columns} numbers`, `${length}`);
}

function npyError(where: string, expected: string, got: string): PerformerError {
  return new PerformerError('DATA', `${where}: expected ${expected}, got ${got}. Write the file again.`);
}

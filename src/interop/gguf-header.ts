/**
 * The header of a GGUF file, read as if its writer meant harm: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 *     "GGUF"    and the version, 2 or 3; all numbers are little-endian
 *     counts    of tensors and of entries of the metadata
 *     metadata  name, type and value of each entry
 *     tensors   name, shape, type and place of each
 *     data      from the next multiple of the alignment on, the tensors, each at such a multiple
 */
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';
import { elementCount } from '../base/shape.js';
import { type GgufBlock, ggufBlocks } from './gguf-blocks.js';

/** The largest header in bytes; vocabularies of 256,000 tokens take 12 million. */
export const largestGgufHeader = 2 ** 26;
const mostTensors = 100_000;
const mostDimensions = 4;

/** A value of the metadata. */
export type GgufValue = number | boolean | string | readonly GgufValue[];

/** Where one tensor lies, and what its blocks are. */
export interface GgufEntry {
  readonly name: string;
  /** Slowest first, as tensors are everywhere else. */
  readonly shape: readonly number[];
  readonly block: GgufBlock;
  /** Its first byte, counted from the start of the file. */
  readonly start: number;
  readonly byteLength: number;
}

/** What a file tells of itself before its tensors. */
export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly entries: readonly GgufEntry[];
}

/** Throws CHECKPOINT: the one way in which a file is refused. */
function refuseGguf(where: string, expected: string, got: string): never {
  throw new PerformerError(
    'CHECKPOINT',
    `${where}: expected ${expected}, got ${got}. The file is damaged or no GGUF file; get it again.`,
  );
}

type NumberReader = `get${'Uint8' | 'Int8' | 'Uint16' | 'Int16' | 'Uint32' | 'Int32' | 'Float32' | 'Float64'}`;

/** Reads one thing after another from the bytes of a header. */
class Cursor {
  readonly #view: DataView;
  readonly #utf8 = new TextDecoder();
  at = 0;

  constructor(
    readonly where: string,
    readonly bytes: Uint8Array,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The place of so many bytes, which are passed over. */
  take(count: number): number {
    const left = this.bytes.length - this.at;
    if (count > left) refuseGguf(this.where, `${count} more bytes of a header at ${this.at}`, String(left));
    this.at += count;
    return this.at - count;
  }

  number(read: NumberReader, bytes: number): number {
    return this.#view[read](this.take(bytes), true);
  }

  /** A count of 64 bits, which must be one that a number can say. */
  count(what: string, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.#view.getBigUint64(this.take(8), true);
    if (value > BigInt(most)) refuseGguf(this.where, `${what} of at most ${most}`, String(value));
    return Number(value);
  }

  integer(isSigned: boolean): number {
    const at = this.take(8);
    return Number(isSigned ? this.#view.getBigInt64(at, true) : this.#view.getBigUint64(at, true));
  }

  text(): string {
    const length = this.count('a text', this.bytes.length);
    const at = this.take(length);
    return this.#utf8.decode(this.bytes.subarray(at, at + length));
  }
}

const list = 9;

/** The kinds of values by their numbers in the file. */
const kinds: Readonly<Record<number, (cursor: Cursor) => GgufValue>> = {
  0: (cursor) => cursor.number('getUint8', 1),
  1: (cursor) => cursor.number('getInt8', 1),
  2: (cursor) => cursor.number('getUint16', 2),
  3: (cursor) => cursor.number('getInt16', 2),
  4: (cursor) => cursor.number('getUint32', 4),
  5: (cursor) => cursor.number('getInt32', 4),
  6: (cursor) => cursor.number('getFloat32', 4),
  7: (cursor) => cursor.number('getUint8', 1) !== 0,
  8: (cursor) => cursor.text(),
  [list]: (cursor) => {
    const kind = cursor.number('getUint32', 4);
    if (kind === list) refuseGguf(cursor.where, 'lists of numbers or texts', 'a list of lists');
    const read = kindOf(cursor, kind);
    const count = cursor.count('a list', cursor.bytes.length);
    const values: GgufValue[] = []; // grows with what is there, whatever the count says
    for (let index = 0; index < count; index++) values.push(read(cursor));
    return values;
  },
  10: (cursor) => cursor.integer(false),
  11: (cursor) => cursor.integer(true),
  12: (cursor) => cursor.number('getFloat64', 8),
};

function kindOf(cursor: Cursor, kind: number): (cursor: Cursor) => GgufValue {
  return kinds[kind] ?? refuseGguf(cursor.where, 'a value of a type from 0 to 12', String(kind));
}

/**
 * Reads a header.
 *
 * @param bytes its first bytes: all of it, or at least `largestGgufHeader`.
 * @throws CHECKPOINT where it is not sound, before anything of the size that it tells is allocated.
 */
export function parseGgufHeader(where: string, bytes: Uint8Array, fileSize: number): GgufHeader {
  const cursor = new Cursor(where, bytes);
  const magic = new TextDecoder('latin1').decode(bytes.subarray(cursor.take(4), cursor.at));
  if (magic !== 'GGUF') refuseGguf(where, 'a file that begins with GGUF', `"${escaped(magic)}"`);
  const version = cursor.number('getUint32', 4);
  if (version !== 2 && version !== 3) refuseGguf(where, 'version 2 or 3', String(version));
  const tensorCount = cursor.count('a number of tensors', mostTensors);
  const entryCount = cursor.count('a number of entries', bytes.length);
  const metadata = new Map<string, GgufValue>();
  for (let index = 0; index < entryCount; index++) {
    const name = cursor.text();
    if (metadata.has(name)) refuseGguf(where, `one entry ${escaped(name)}`, 'two');
    metadata.set(name, kindOf(cursor, cursor.number('getUint32', 4))(cursor));
  }
  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || !Number.isInteger(alignment) || alignment < 1 || alignment > 2 ** 20) {
    refuseGguf(where, 'a general.alignment from 1 to 1,048,576', String(alignment));
  }
  const tensors: ReturnType<typeof readTensor>[] = [];
  for (let index = 0; index < tensorCount; index++) tensors.push(readTensor(cursor));
  const data = Math.ceil(cursor.at / alignment) * alignment;
  const entries = tensors.map(({ offset, ...entry }) => {
    if (offset % alignment !== 0) refuseGguf(where, `tensors at multiples of ${alignment}`, String(offset));
    return { ...entry, start: data + offset };
  });
  checkPlaces(where, entries, fileSize);
  return { metadata, entries };
}

function readTensor(cursor: Cursor): Omit<GgufEntry, 'start'> & { readonly offset: number } {
  const { where } = cursor;
  const name = cursor.text();
  const dimensions = cursor.number('getUint32', 4);
  if (dimensions < 1 || dimensions > mostDimensions) {
    refuseGguf(where, `1 to ${mostDimensions} dimensions of ${escaped(name)}`, String(dimensions));
  }
  const shape = Array.from({ length: dimensions }, () => cursor.count('a size')).reverse();
  const type = cursor.number('getUint32', 4);
  const block = ggufBlocks.get(type) ?? refuseGguf(where, knownTypes(name), String(type));
  const count = elementCount(shape);
  if (!Number.isSafeInteger(count) || shape.at(-1)! % block.values !== 0) {
    refuseGguf(where, `rows of ${escaped(name)} in blocks of ${block.values}`, `the shape ${shape.join(' × ')}`);
  }
  return { name, shape, block, byteLength: (count / block.values) * block.bytes, offset: cursor.count('an offset') };
}

function knownTypes(name: string): string {
  const known = [...ggufBlocks].map(([type, block]) => `${type} (${block.name})`);
  return `${escaped(name)} to be of the type ${known.join(', ')}`;
}

/** Throws CHECKPOINT unless all tensors lie in the file, each in a place and with a name of its own. */
function checkPlaces(where: string, entries: readonly GgufEntry[], fileSize: number): void {
  const names = new Set(entries.map(({ name }) => name));
  if (names.size < entries.length) refuseGguf(where, 'tensors with names of their own', 'a name twice');
  let end = 0;
  for (const { name, start, byteLength } of [...entries].sort((a, b) => a.start - b.start)) {
    if (start < end) refuseGguf(where, `${escaped(name)} from byte ${end} on`, `a place at ${start}`);
    end = start + byteLength;
    if (end > fileSize)
      refuseGguf(where, `a file of at least ${end} bytes, as ${escaped(name)} says`, String(fileSize));
  }
}

/**
 * The header of a safetensors file, read as if its writer meant harm: everything is checked before any tensor is
 * allocated. https://github.com/huggingface/safetensors#format
 *
 *     8 bytes   length of the header, unsigned little-endian
 *     header    JSON {"name": {"dtype", "shape", "data_offsets": [begin, end]}, …, "__metadata__": {"key": "text"}}
 *     buffer    the tensors, row-major little-endian, covering the rest of the file without gap or overlap
 */
import type { Dtype } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { escaped } from '../base/escape.js';
import { jsonBounds } from '../base/json-bounds.js';

/** Bytes of the length that a file begins with. */
export const prefixLength = 8;
/** The largest header in bytes: 160 for each of the most tensors. */
export const largestHeader = 2 ** 24;
/** The most tensors of one file; the largest models have some thousands in each of their files. */
export const mostTensors = 100_000;
/** An object of objects of lists. */
const headerDepth = 3;

/** What a file may hold: the dtype it is read as and bytes per element in the file. */
export const storedDtypes = {
  F64: { dtype: 'float64', width: 8 },
  I64: { dtype: 'int64', width: 8 },
  F32: { dtype: 'float32', width: 4 },
  I32: { dtype: 'int32', width: 4 },
  U32: { dtype: 'uint32', width: 4 },
  F16: { dtype: 'float32', width: 2 },
  BF16: { dtype: 'float32', width: 2 },
  BOOL: { dtype: 'bool', width: 1 },
  U8: { dtype: 'int32', width: 1 },
} as const satisfies Record<string, { dtype: Dtype; width: number }>;

/** The dtypes of tensors that are read and written. */
export type StoredDtype = keyof typeof storedDtypes;

/** Where one tensor lies. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly stored: StoredDtype;
  readonly shape: readonly number[];
  /** Its first byte, counted from the start of the file. */
  readonly start: number;
  /** Bytes in the file. */
  readonly byteLength: number;
}

/** What a file of safetensors tells of its tensors before their bytes. */
export interface SafetensorsHeader {
  /** In the order of the file. */
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Throws CHECKPOINT: the one way in which a file is refused. */
export function refuse(where: string, expected: string, got: string): never {
  throw new PerformerError(
    'CHECKPOINT',
    `${where}: expected ${expected}, got ${got}. The file is damaged or no safetensors file; get it again.`,
  );
}

/** A name that a parameter may not have: it would reach an object's prototype, or it has a meaning of its own. */
export function isForbiddenName(name: string): boolean {
  return name === '__metadata__' || name.split('.').includes('__proto__');
}

/** A value from the file, short and on one line. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return `"${escaped(value)}"`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** The length of the header from the first 8 bytes. Throws CHECKPOINT when the file cannot hold it. */
export function safetensorsHeaderLength(where: string, prefix: Uint8Array, fileSize: number): number {
  if (prefix.length < prefixLength) refuse(where, `at least ${prefixLength} bytes`, String(prefix.length));
  const isPointer = new TextDecoder().decode(prefix.subarray(0, prefixLength)) === 'version ';
  if (isPointer) refuse(where, 'tensors', 'a pointer of Git LFS to them');
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  const room = Math.min(fileSize - prefixLength, largestHeader);
  if (length > BigInt(room)) refuse(where, `a header of at most ${room} bytes`, `one of ${length}`);
  return Number(length);
}

/**
 * The checked content of a header; `headerBytes` is the JSON after the first 8 bytes, `fileSize` the bytes of the
 * whole file. Throws CHECKPOINT for anything that is not a sound safetensors file.
 */
export function parseSafetensorsHeader(where: string, headerBytes: Uint8Array, fileSize: number): SafetensorsHeader {
  const text = decodeText(where, headerBytes);
  const { depth, outerCommas } = jsonBounds(text);
  if (depth > headerDepth) refuse(where, `a header nested ${headerDepth} deep`, `one of ${depth}`);
  if (outerCommas > mostTensors) refuse(where, `at most ${mostTensors} tensors`, String(outerCommas));
  const header = parseObject(where, text);
  const bufferStart = prefixLength + headerBytes.length;
  const { __metadata__: metadata = {}, ...tensors } = header;
  const entries = Object.entries(tensors).map(([name, value]) => parseEntry(where, name, value, bufferStart));
  checkMetadata(where, metadata);
  // JSON.parse keeps one of several equal names.
  if (outerCommas >= Math.max(1, Object.keys(header).length)) refuse(where, 'distinct names', 'a name twice');
  entries.sort((left, right) => left.start - right.start || left.byteLength - right.byteLength);
  checkCover(where, entries, bufferStart, fileSize);
  return { entries, metadata };
}

function decodeText(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse(where, 'a header in UTF-8', 'other bytes');
  }
}

function parseObject(where: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse(where, 'a header in JSON', describe(text));
  }
  return isObject(value) ? value : refuse(where, 'a header that is an object', describe(value));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parseEntry(where: string, name: string, value: unknown, bufferStart: number): SafetensorsEntry {
  const label = describe(name);
  if (isForbiddenName(name)) refuse(where, 'names of parameters', label);
  if (!isObject(value)) return refuse(where, `${label} to be an object`, describe(value));
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(storedDtypes, dtype)) {
    return refuse(where, `${label} to have a dtype of ${Object.keys(storedDtypes).join(', ')}`, describe(dtype));
  }
  const stored = dtype as StoredDtype;
  if (!Array.isArray(shape)) return refuse(where, `${label} to have a shape`, describe(shape));
  let size: number = storedDtypes[stored].width;
  for (const dim of shape) {
    if (!isSize(dim)) refuse(where, `${label} to have a shape of whole numbers`, describe(dim));
    size *= dim;
    if (!isSize(size)) refuse(where, `${label} to have a shape that fits in memory`, 'a larger product');
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    return refuse(where, `${label} to have two offsets that are whole numbers`, describe(offsets));
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) refuse(where, `${label} to begin before it ends`, `offsets ${begin} and ${end}`);
  if (end - begin !== size) refuse(where, `${label} to have ${size} bytes for its shape`, String(end - begin));
  return { name, stored, shape, start: bufferStart + begin, byteLength: size };
}

function checkMetadata(where: string, metadata: unknown): asserts metadata is Record<string, string> {
  if (!isObject(metadata)) refuse(where, '__metadata__ to be an object', describe(metadata));
  for (const [key, value] of Object.entries(metadata as object)) {
    if (key === '__proto__') refuse(where, 'names of metadata', describe(key));
    if (typeof value !== 'string') refuse(where, `__metadata__ ${describe(key)} to be a string`, describe(value));
  }
}

function checkCover(where: string, entries: readonly SafetensorsEntry[], bufferStart: number, fileSize: number): void {
  let position = bufferStart;
  for (const { name, start, byteLength } of entries) {
    if (start !== position) {
      const relation = start < position ? 'an overlap' : 'a gap';
      refuse(where, `${describe(name)} to begin at byte ${position}`, `${relation}: it begins at ${start}`);
    }
    position += byteLength;
  }
  if (position !== fileSize) refuse(where, `a file of ${position} bytes by its header`, `one of ${fileSize}`);
}

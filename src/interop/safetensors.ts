/**
 * Safetensors: named tensors as bytes, the format in which Hugging Face keeps weights (see `safetensors-header.ts`).
 * Typed arrays are written as they lie in memory, which is little-endian wherever JavaScript runs today.
 */
import { type AnyHostTensor, byteLength, hostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { elementCount } from '../base/shape.js';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './half-precision.js';
import {
  describe,
  isForbiddenName,
  largestHeader,
  mostTensors,
  parseSafetensorsHeader,
  prefixLength,
  type SafetensorsEntry,
  safetensorsHeaderLength,
  storedDtypes,
} from './safetensors-header.js';

/** Tensors by name, and the strings kept with them. */
export interface Safetensors {
  readonly tensors: Map<string, AnyHostTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const writtenDtypes = {
  float64: 'F64',
  int64: 'I64',
  float32: 'F32',
  int32: 'I32',
  uint32: 'U32',
  bool: 'BOOL',
} as const;

/** As what float32 tensors are kept in files. */
export const weightDtypes = ['float32', 'float16', 'bfloat16'] as const;
/** See `weightDtypes`. */
export type WeightDtype = (typeof weightDtypes)[number];

const halfPrecision = {
  float16: { stored: 'F16', narrow: float32ToFloat16, widen: float16ToFloat32 },
  bfloat16: { stored: 'BF16', narrow: float32ToBfloat16, widen: bfloat16ToFloat32 },
} as const;

/** Values as they come back from a file that keeps them so: those of the nearest float of 16 bits, or themselves. */
export function asKept(values: Float32Array, dtype: WeightDtype): Float32Array {
  if (dtype === 'float32') return values;
  const { narrow, widen } = halfPrecision[dtype];
  return widen(narrow(values));
}

/** How a tensor is written: its name in the file, and its bytes. */
function writtenAs(tensor: AnyHostTensor, dtype: WeightDtype) {
  const half = tensor.dtype === 'float32' && dtype !== 'float32' ? halfPrecision[dtype] : undefined;
  const stored = half?.stored ?? writtenDtypes[tensor.dtype];
  const bytes = () => bytesOf(half === undefined ? tensor : { data: half.narrow(tensor.data as Float32Array) });
  return { stored, width: storedDtypes[stored].width, bytes };
}

/**
 * The file in chunks to be written one after another: the header, then each tensor's own bytes, not copied unless they are
 * narrowed, as `dtypeOf` says of a float32 tensor by its name. Tensors go by falling bytes per element, so that each lies aligned as
 * PyTorch needs it, and then by name. Throws CHECKPOINT for a name or size that no reader would accept.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, AnyHostTensor>,
  metadata?: Readonly<Record<string, string>>,
  dtypeOf: (name: string) => WeightDtype = () => 'float32',
): Uint8Array[] {
  const sorted = [...tensors]
    .map(([name, tensor]) => ({ name, tensor, ...writtenAs(tensor, dtypeOf(name)) }))
    .sort((left, right) => right.width - left.width || (left.name < right.name ? -1 : 1));
  const header: [string, unknown][] = metadata === undefined ? [] : [['__metadata__', metadata]];
  let end = 0;
  for (const { name, tensor, stored, width } of sorted) {
    const begin = end;
    const size = elementCount(tensor.shape);
    end += size * width;
    if (isForbiddenName(name)) throw encodeError('another name', describe(name));
    if (tensor.data.length !== size) {
      throw encodeError(`${describe(name)} to have as many elements as its shape`, `${byteLength(tensor)} bytes`);
    }
    header.push([name, { dtype: stored, shape: tensor.shape, data_offsets: [begin, end] }]);
  }
  if (sorted.length > mostTensors) throw encodeError(`at most ${mostTensors} tensors`, String(sorted.length));
  return [encodeHeader(header), ...sorted.map(({ bytes }) => bytes())];
}

function encodeHeader(header: readonly [string, unknown][]): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > largestHeader) throw encodeError(`a header of at most ${largestHeader} bytes`, String(length));
  const bytes = new Uint8Array(prefixLength + length).fill(0x20); // padded with spaces
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, prefixLength);
  return bytes;
}

function encodeError(expected: string, got: string): PerformerError {
  return new PerformerError('CHECKPOINT', `encodeSafetensors: expected ${expected}, got ${got}.`);
}

function bytesOf({ data }: { readonly data: AnyHostTensor['data'] | Uint16Array }): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * The tensors of a file in memory, each copied to an array of its own; F16 and BF16 become float32, U8 int32. `where` heads the
 * error messages. Throws CHECKPOINT, before anything is allocated, when the file is not sound.
 */
export function decodeSafetensors(where: string, bytes: Uint8Array): Safetensors {
  const headerLength = safetensorsHeaderLength(where, bytes, bytes.length);
  const headerBytes = bytes.subarray(prefixLength, prefixLength + headerLength);
  const { entries, metadata } = parseSafetensorsHeader(where, headerBytes, bytes.length);
  const tensors = new Map<string, AnyHostTensor>();
  for (const entry of entries) {
    const copy = new Uint8Array(entry.byteLength);
    copy.set(bytes.subarray(entry.start, entry.start + entry.byteLength));
    tensors.set(entry.name, tensorFromBuffer(entry, copy.buffer));
  }
  return { tensors, metadata };
}

/** The tensor of a checked entry over its bytes, which are kept unless they must be widened. */
export function tensorFromBuffer({ stored, shape }: SafetensorsEntry, buffer: ArrayBuffer): AnyHostTensor {
  switch (stored) {
    case 'F64':
      return hostTensor('float64', shape, new Float64Array(buffer));
    case 'I64':
      return hostTensor('int64', shape, new BigInt64Array(buffer));
    case 'F32':
      return hostTensor('float32', shape, new Float32Array(buffer));
    case 'I32':
      return hostTensor('int32', shape, new Int32Array(buffer));
    case 'U32':
      return hostTensor('uint32', shape, new Uint32Array(buffer));
    case 'F16':
      return hostTensor('float32', shape, float16ToFloat32(new Uint16Array(buffer)));
    case 'BF16':
      return hostTensor('float32', shape, bfloat16ToFloat32(new Uint16Array(buffer)));
    case 'U8':
      return hostTensor('int32', shape, Int32Array.from(new Uint8Array(buffer)));
    case 'BOOL':
      return hostTensor('bool', shape, new Uint8Array(buffer));
  }
}

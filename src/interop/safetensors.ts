/**
 * Safetensors: named tensors as bytes, the format in which Hugging Face keeps weights (see `safetensors-header.ts`).
 * Typed arrays are written as they lie in memory, which is little-endian wherever JavaScript runs today.
 */
import { type AnyHostTensor, byteLength, hostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import { elementCount } from '../base/shape.js';
import { bfloat16ToFloat32, float16ToFloat32 } from './half-precision.js';
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

const widthOf = (tensor: AnyHostTensor) => storedDtypes[writtenDtypes[tensor.dtype]].width;

/**
 * The file in chunks to be written one after another: the header, then each tensor's own bytes, not copied. Tensors
 * go by falling bytes per element, so that each lies aligned as PyTorch needs it, and then by name. Throws CHECKPOINT
 * for a name or size that no reader would accept.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, AnyHostTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array[] {
  const sorted = [...tensors].sort(
    ([leftName, left], [rightName, right]) => widthOf(right) - widthOf(left) || (leftName < rightName ? -1 : 1),
  );
  const header: [string, unknown][] = metadata === undefined ? [] : [['__metadata__', metadata]];
  let end = 0;
  for (const [name, tensor] of sorted) {
    const begin = end;
    end += byteLength(tensor);
    if (isForbiddenName(name)) throw encodeError('another name', describe(name));
    if (elementCount(tensor.shape) * widthOf(tensor) !== end - begin) {
      throw encodeError(`${describe(name)} to have as many elements as its shape`, `${end - begin} bytes`);
    }
    header.push([name, { dtype: writtenDtypes[tensor.dtype], shape: tensor.shape, data_offsets: [begin, end] }]);
  }
  if (sorted.length > mostTensors) throw encodeError(`at most ${mostTensors} tensors`, String(sorted.length));
  return [encodeHeader(header), ...sorted.map(([, tensor]) => bytesOf(tensor))];
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

function bytesOf({ data }: AnyHostTensor): Uint8Array {
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

/**
 * The blocks of numbers in GGUF files and their values (ggml, docs/gguf.md and ggml-common.h). A block of 32 values has one scale; one of
 * 256 has a scale for each 16 or 32 of its values, which are small integers times a scale of the block.
 *
 * Letters: q the small integer of a value, d the scale of a block, m its offset, s and o the small integers of the scale and the
 * offset of a part; a value is d·q, d·q + m, d·s·q or d·s·q − m·o.
 */
import { float16ToFloat32 } from './half-precision.js';

/** A kind of block. */
export interface GgufBlock {
  readonly name: string;
  /** Values in a block, and the bytes that they take. */
  readonly values: number;
  readonly bytes: number;
  /** Writes the values of the block that begins at a byte. */
  readonly read: (bytes: DataView, at: number, into: Float32Array) => void;
}

/** All values of the float16 numbers, which blocks are full of. */
const halves = float16ToFloat32(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits));

function half(bytes: DataView, at: number): number {
  return halves[bytes.getUint16(at, true)]!;
}

/** The two halves of a byte: of the first 16 values of a block the lower, of the others the upper one. */
function nibble(bytes: DataView, at: number, index: number): number {
  const byte = bytes.getUint8(at + (index % 16));
  return index < 16 ? byte & 15 : byte >> 4;
}

/** A bit of the integer at a place. */
function bitOf(bytes: DataView, at: number, index: number): number {
  return (bytes.getUint8(at + (index >> 3)) >> (index & 7)) & 1;
}

type Parts = (bytes: DataView, at: number) => (index: number) => number;

/** A block of which a function of its bytes gives each value. */
function blockOf(name: string, bytes: number, valuesOf: Parts, values = 32): GgufBlock {
  return {
    ...{ name, values, bytes },
    read(view, at, into) {
      const value = valuesOf(view, at);
      for (let index = 0; index < values; index++) into[index] = value(index);
    },
  };
}

const floats: readonly (readonly [number, GgufBlock])[] = [
  [0, blockOf('F32', 4, (bytes, at) => () => bytes.getFloat32(at, true), 1)],
  [1, blockOf('F16', 2, (bytes, at) => () => half(bytes, at), 1)],
  [28, blockOf('F64', 8, (bytes, at) => () => bytes.getFloat64(at, true), 1)],
  [30, blockOf('BF16', 2, (bytes, at) => () => bfloat16(bytes.getUint16(at, true)), 1)],
];

const word = new DataView(new ArrayBuffer(4));
function bfloat16(bits: number): number {
  word.setUint32(0, bits << 16);
  return word.getFloat32(0);
}

const blocksOf32: readonly (readonly [number, GgufBlock])[] = [
  [
    2,
    blockOf('Q4_0', 18, (bytes, at) => {
      const d = half(bytes, at);
      return (index) => d * (nibble(bytes, at + 2, index) - 8);
    }),
  ],
  [
    3,
    blockOf('Q4_1', 20, (bytes, at) => {
      const [d, m] = [half(bytes, at), half(bytes, at + 2)];
      return (index) => d * nibble(bytes, at + 4, index) + m;
    }),
  ],
  [
    6,
    blockOf('Q5_0', 22, (bytes, at) => {
      const d = half(bytes, at);
      return (index) => d * (nibble(bytes, at + 6, index) + 16 * bitOf(bytes, at + 2, index) - 16);
    }),
  ],
  [
    7,
    blockOf('Q5_1', 24, (bytes, at) => {
      const [d, m] = [half(bytes, at), half(bytes, at + 2)];
      return (index) => d * (nibble(bytes, at + 8, index) + 16 * bitOf(bytes, at + 4, index)) + m;
    }),
  ],
  [
    8,
    blockOf('Q8_0', 34, (bytes, at) => {
      const d = half(bytes, at);
      return (index) => d * bytes.getInt8(at + 2 + index);
    }),
  ],
];

/** The scale or the offset of part 0 to 7 of Q4_K and Q5_K: 6 bits each, in 12 bytes. */
function sixBits(bytes: DataView, at: number, part: number, isOffset: boolean): number {
  const byte = (index: number) => bytes.getUint8(at + index);
  const own = part + (isOffset ? 4 : 0);
  if (part < 4) return byte(own) & 63;
  const low = isOffset ? byte(part + 4) >> 4 : byte(part + 4) & 15;
  return low | ((byte(isOffset ? part : part - 4) >> 6) << 4);
}

/** The scale of part 0 to 15 of Q3_K: 6 bits in 12 bytes. */
function scaleOfThree(bytes: DataView, at: number, part: number): number {
  const low = bytes.getUint8(at + (part % 8)) >> (part < 8 ? 0 : 4);
  const high = bytes.getUint8(at + 8 + (part % 4)) >> (2 * (part >> 2));
  return ((low & 15) | ((high & 3) << 4)) - 32;
}

/** The 2 bits of a value of Q2_K and Q3_K: each byte has those of 4 values that are 32 apart. */
function twoBits(bytes: DataView, at: number, index: number): number {
  const byte = bytes.getUint8(at + 32 * (index >> 7) + (index % 32));
  return (byte >> (2 * ((index >> 5) % 4))) & 3;
}

/** The 4 bits of a value of Q4_K and Q5_K: each byte has those of 2 values that are 32 apart. */
function fourBits(bytes: DataView, at: number, index: number): number {
  const byte = bytes.getUint8(at + 32 * (index >> 6) + (index % 32));
  return (byte >> (4 * ((index >> 5) % 2))) & 15;
}

const blocksOf256: readonly (readonly [number, GgufBlock])[] = [
  [
    10,
    blockOf(
      'Q2_K',
      84,
      (bytes, at) => {
        const [d, m] = [half(bytes, at + 80), half(bytes, at + 82)];
        return (index) => {
          const scales = bytes.getUint8(at + (index >> 4));
          return d * (scales & 15) * twoBits(bytes, at + 16, index) - m * (scales >> 4);
        };
      },
      256,
    ),
  ],
  [
    11,
    blockOf(
      'Q3_K',
      110,
      (bytes, at) => {
        const d = half(bytes, at + 108);
        return (index) => {
          const high = (bytes.getUint8(at + (index % 32)) >> (index >> 5)) & 1;
          return d * scaleOfThree(bytes, at + 96, index >> 4) * (twoBits(bytes, at + 32, index) + 4 * high - 4);
        };
      },
      256,
    ),
  ],
  [12, blockOfFour('Q4_K', 144, 16, () => 0)],
  [
    13,
    blockOfFour('Q5_K', 176, 48, (bytes, at, index) => (bytes.getUint8(at + 16 + (index % 32)) >> (index >> 5)) & 1),
  ],
  [
    14,
    blockOf(
      'Q6_K',
      210,
      (bytes, at) => {
        const d = half(bytes, at + 208);
        return (index) => {
          const within = index % 128;
          const byte = bytes.getUint8(at + 64 * (index >> 7) + (within % 64));
          const low = within < 64 ? byte & 15 : byte >> 4;
          const high = (bytes.getUint8(at + 128 + 32 * (index >> 7) + (index % 32)) >> (2 * (within >> 5))) & 3;
          return d * bytes.getInt8(at + 192 + (index >> 4)) * ((low | (high << 4)) - 32);
        };
      },
      256,
    ),
  ],
];

/** Q4_K and Q5_K, which has a fifth bit of each value beside the four. */
function blockOfFour(
  name: string,
  bytes: number,
  fours: number,
  fifth: (bytes: DataView, at: number, index: number) => number,
): GgufBlock {
  const parts: Parts = (view, at) => {
    const [d, m] = [half(view, at), half(view, at + 2)];
    return (index) => {
      const q = fourBits(view, at + fours, index) + 16 * fifth(view, at, index);
      return d * sixBits(view, at + 4, index >> 5, false) * q - m * sixBits(view, at + 4, index >> 5, true);
    };
  };
  return blockOf(name, bytes, parts, 256);
}

/** The blocks by the numbers of their types. */
export const ggufBlocks: ReadonlyMap<number, GgufBlock> = new Map([...floats, ...blocksOf32, ...blocksOf256]);

/** The values of whole blocks. */
export function ggufValues({ values, bytes: size, read }: GgufBlock, bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const all = new Float32Array((bytes.length / size) * values);
  for (let block = 0; block * size < bytes.length; block++) {
    read(view, block * size, all.subarray(block * values, (block + 1) * values));
  }
  return all;
}

/**
 * Floats of 16 bits as little-endian bits: widening them to float32 is exact, since every such value is a float32; narrowing takes
 * the nearest one, of two equally near ones that whose last bit is 0.
 */

/** IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  const words = new Uint32Array(values.buffer);
  for (let index = 0; index < bits.length; index++) {
    const half = bits[index] as number;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) values[index] = (sign === 0 ? fraction : -fraction) * 2 ** -24;
    else words[index] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
  return values;
}

/** bfloat16: the upper half of a float32. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let index = 0; index < bits.length; index++) words[index] = (bits[index] as number) << 16;
  return new Float32Array(words.buffer);
}

/** The nearest binary16 of each value; infinite from 65520 on. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let index = 0; index < bits.length; index++) {
    const word = words[index] as number;
    const size = word & 0x7fffffff;
    bits[index] = ((word >>> 16) & 0x8000) | (size < 0x38800000 ? subnormal(values[index] as number) : normal(size));
  }
  return bits;
}

/** Below 2⁻¹⁴ the fraction counts steps of 2⁻²⁴. */
function subnormal(value: number): number {
  const steps = Math.abs(value) * 2 ** 24;
  const below = Math.floor(steps);
  const rest = steps - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function normal(size: number): number {
  return Math.min(0x7c00, (size + 0xfff + ((size >> 13) & 1) - 0x38000000) >> 13);
}

/** The nearest bfloat16 of each value. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

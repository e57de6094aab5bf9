/** Widening of 16-bit floats to float32: exact, since every such value is a float32. Input is little-endian bits. */

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

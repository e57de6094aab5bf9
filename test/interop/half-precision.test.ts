import { expect, test } from 'vitest';
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from '../../src/interop/half-precision.js';

const all = Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits);
const kinds = [
  ['float16', float32ToFloat16, float16ToFloat32],
  ['bfloat16', float32ToBfloat16, bfloat16ToFloat32],
] as const;

test.each(kinds)('every finite %s and the infinite ones come back', (_, narrow, widen) => {
  const values = widen(all);
  const again = narrow(values);
  for (const bits of all) if (!Number.isNaN(values[bits])) expect(again[bits], String(bits)).toBe(bits);
});

test.each(kinds)(
  'what lies between two of %s goes to the nearer one, and from the middle to the even one',
  (_, narrow, widen) => {
    const values = widen(all);
    const [between, expected]: [number[], number[]] = [[], []];
    for (let bits = 0; Number.isFinite(values[bits + 1]); bits += 7) {
      const [low, high] = [values[bits]!, values[bits + 1]!];
      for (const part of [0.25, 0.5, 0.75]) {
        for (const sign of [0, 0x8000]) {
          between.push((sign === 0 ? 1 : -1) * (low + part * (high - low)));
          expected.push(sign + (part < 0.5 || (part === 0.5 && bits % 2 === 0) ? bits : bits + 1));
        }
      }
    }
    // Below the smallest float32 nothing lies between two of them.
    const isExact = (value: number) => Math.fround(value) === value;
    const kept = between.flatMap((value, at) => (isExact(value) ? [at] : []));
    expect(kept.length).toBeGreaterThan(10_000);
    expect([...narrow(Float32Array.from(kept, (at) => between[at]!))]).toEqual(kept.map((at) => expected[at]));
  },
);

test('beyond its range float16 is infinite', () => {
  expect([...float32ToFloat16(Float32Array.of(65519, 65520, -1e9))]).toEqual([0x7bff, 0x7c00, 0xfc00]);
});

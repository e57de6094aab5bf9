import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AnyHostTensor, type DataOf, type Dtype, float32, hostTensor, int32 } from '../../src/base/index.js';
import { decodeSafetensors, encodeSafetensors } from '../../src/interop/index.js';
import { fileOf, joinChunks } from './file-bytes.js';

const shapes = fc.array(fc.nat(4), { maxLength: 3 });
const tensorOf = <D extends Dtype>(
  dtype: D,
  make: new (buffer: ArrayBuffer) => DataOf[D],
  width: number,
): fc.Arbitrary<AnyHostTensor> =>
  shapes.chain((shape) => {
    const length = shape.reduce((product, dim) => product * dim, width);
    return fc
      .uint8Array({ minLength: length, maxLength: length, max: dtype === 'bool' ? 1 : 255 })
      .map((bytes) => hostTensor(dtype, shape, new make(Uint8Array.from(bytes).buffer)) as AnyHostTensor);
  });
const anyTensor = fc.oneof(
  tensorOf('float32', Float32Array, 4),
  tensorOf('float64', Float64Array, 8),
  tensorOf('int32', Int32Array, 4),
  tensorOf('int64', BigInt64Array, 8),
  tensorOf('uint32', Uint32Array, 4),
  tensorOf('bool', Uint8Array, 1),
);
const bitsOf = ({ dtype, shape, data }: AnyHostTensor) => ({
  dtype,
  shape,
  bits: [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
});
const anyName = fc
  .string({ unit: 'grapheme' })
  .filter((name) => name !== '__metadata__' && !name.includes('__proto__'));

describe('safetensors', () => {
  test('give back every tensor and all metadata, bit for bit', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(anyName, anyTensor), { selector: ([name]) => name }),
        fc.dictionary(anyName, fc.string()),
        (entries, metadata) => {
          const read = decodeSafetensors('test', joinChunks(encodeSafetensors(new Map(entries), metadata)));
          expect(read.metadata).toEqual({ ...metadata });
          expect(read.tensors.size).toBe(entries.length);
          for (const [name, tensor] of entries) expect(bitsOf(read.tensors.get(name)!)).toEqual(bitsOf(tensor));
        },
      ),
    );
  });

  test('are read the same from the middle of a Node buffer, into arrays of their own', () => {
    const bytes = joinChunks(encodeSafetensors(new Map([['weight', float32([2], [1, 2])]])));
    const inside = Buffer.concat([Buffer.alloc(3), bytes]).subarray(3);
    const tensor = decodeSafetensors('test', inside).tensors.get('weight')!;
    expect(tensor).toEqual(float32([2], [1, 2]));
    expect(tensor.data.buffer.byteLength).toBe(8);
  });

  test('are written as the format says, byte for byte', () => {
    const chunks = encodeSafetensors(
      new Map<string, AnyHostTensor>([
        ['b', float32([1], [1])],
        ['a', int32([2, 1], [1, -1])],
      ]),
      { format: 'pt' },
    );
    const json =
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"I32","shape":[2,1],"data_offsets":[0,8]},' +
      '"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}';
    const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
    expect([...chunks[0]!.subarray(0, 8)]).toEqual([padded.length, 0, 0, 0, 0, 0, 0, 0]);
    expect(new TextDecoder().decode(chunks[0]!.subarray(8))).toBe(padded);
    expect([...chunks[1]!]).toEqual([1, 0, 0, 0, 255, 255, 255, 255]);
    expect([...chunks[2]!]).toEqual([0, 0, 0x80, 0x3f]);
  });

  test('are written without a copy of the data', () => {
    const weight = float32([2], [1, 2]);
    expect(encodeSafetensors(new Map([['weight', weight]]))[1]!.buffer).toBe(weight.data.buffer);
  });

  test('lie aligned: wider dtypes come first, then names in order', () => {
    const bool = hostTensor('bool', [3], Uint8Array.of(1, 0, 1));
    const wide = hostTensor('int64', [1], BigInt64Array.of(-5n));
    const tensors = new Map<string, AnyHostTensor>([
      ['a', bool],
      ['c', float32([], [2])],
      ['b', int32([], [3])],
      ['z', wide],
    ]);
    const read = decodeSafetensors('test', joinChunks(encodeSafetensors(tensors)));
    expect([...read.tensors.keys()]).toEqual(['z', 'b', 'c', 'a']);
  });

  test.each(['__metadata__', '__proto__', 'blocks.__proto__.weight'])('are not written with the name %s', (name) => {
    expect(() => encodeSafetensors(new Map([[name, float32([], [1])]]))).toThrow(
      'encodeSafetensors: expected another name',
    );
  });

  test('are not written with data that does not fill its shape', () => {
    const tensor = { ...float32([2], [1, 2]), shape: [3] };
    expect(() => encodeSafetensors(new Map([['a', tensor]]))).toThrow(
      'expected "a" to have as many elements as its shape',
    );
  });

  test('in F16 and BF16 become float32', () => {
    const file = fileOf(
      {
        h: { dtype: 'F16', shape: [8], data_offsets: [0, 16] },
        b: { dtype: 'BF16', shape: [3], data_offsets: [16, 22] },
      },
      22,
    );
    const bits = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x8000, 0xfc00, 0x7e00, 0x3f80, 0xc2c8, 0xff80);
    file.set(new Uint8Array(bits.buffer), file.length - 22);
    const { tensors } = decodeSafetensors('test', file);
    expect(tensors.get('h')).toEqual(float32([8], [1, -2, 65504, 2 ** -14, 2 ** -24, -0, -Infinity, Number.NaN]));
    expect(tensors.get('b')).toEqual(float32([3], [1, -100, -Infinity]));
  });
});

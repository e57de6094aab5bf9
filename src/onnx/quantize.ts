/**
 * Weights of dense products with fewer bits.
 *
 * int8: a scale for each output, s_n = max_k |w_kn| / 63, and w_kn ≈ s_n·q_kn. Processors without VNNI or its like add up two products
 * of 8 bits in 16, which q up to 127 would overflow: 2·255·63 < 2¹⁵.
 * int4: a scale for each 32 inputs of an output, of which the largest in size, v, becomes −8: s = v / −8, and w ≈ s·(q − 8) with q
 * from 0 to 15, two of them in a byte (ONNX Runtime's MatMulNBits).
 */

/** How products with constant weights are computed. */
export const productDtypes = ['float32', 'int8', 'int4'] as const;
/** See `productDtypes`. */
export type ProductDtype = (typeof productDtypes)[number];

/** The largest q of int8. */
const largestInt8 = 63;

/** Inputs that share a scale. */
export const blockSize = 32;

/** A matrix as the products read it: `inputs` × `outputs`, of which the next output of an input stands `outputStep` further. */
export interface WeightMatrix {
  readonly data: Float32Array;
  readonly inputs: number;
  readonly outputs: number;
  readonly inputStep: number;
  readonly outputStep: number;
}

/** [inputs, outputs] int8, and the scales [outputs]. */
export function toInt8({ data, inputs, outputs, inputStep, outputStep }: WeightMatrix): {
  readonly values: Int8Array;
  readonly scales: Float32Array;
} {
  const values = new Int8Array(inputs * outputs);
  const scales = new Float32Array(outputs);
  for (let output = 0; output < outputs; output++) {
    const start = output * outputStep;
    let largest = 0;
    for (let input = 0; input < inputs; input++) {
      largest = Math.max(largest, Math.abs(data[start + input * inputStep] as number));
    }
    scales[output] = largest / largestInt8;
    if (largest === 0) continue;
    for (let input = 0; input < inputs; input++) {
      values[input * outputs + output] = Math.round(
        ((data[start + input * inputStep] as number) * largestInt8) / largest,
      );
    }
  }
  return { values, scales };
}

/** [outputs, blocks, blockSize/2] bytes, the earlier of two values in the lower half, and the scales [outputs, blocks]. */
export function toInt4({ data, inputs, outputs, inputStep, outputStep }: WeightMatrix): {
  readonly values: Uint8Array;
  readonly scales: Float32Array;
} {
  const blocks = Math.ceil(inputs / blockSize);
  const values = new Uint8Array((outputs * blocks * blockSize) / 2).fill(0x88); // padding is zero
  const scales = new Float32Array(outputs * blocks);
  for (let output = 0; output < outputs; output++) {
    for (let block = 0; block < blocks; block++) {
      const [first, end] = [block * blockSize, Math.min(inputs, (block + 1) * blockSize)];
      const at = (input: number) => data[output * outputStep + input * inputStep] as number;
      let largest = 0;
      for (let input = first; input < end; input++) {
        if (Math.abs(at(input)) > Math.abs(largest)) largest = at(input);
      }
      const own = output * blocks + block;
      scales[own] = largest / -8;
      if (largest === 0) continue;
      for (let input = first; input < end; input++) {
        const value = Math.min(15, Math.round((at(input) * -8) / largest) + 8);
        const byte = (own * blockSize + input - first) >> 1;
        const isHigh = (input - first) % 2 === 1;
        values[byte] = isHigh ? (values[byte]! & 0x0f) | (value << 4) : (values[byte]! & 0xf0) | value;
      }
    }
  }
  return { values, scales };
}

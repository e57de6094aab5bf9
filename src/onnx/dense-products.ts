/** Writes dense products with constant weights of fewer bits, each of which is kept once. */
import type { HostTensor } from '../base/array.js';
import type { Emitter } from '../graph/emitter.js';
import { blockSize, type ProductDtype, toInt4, toInt8, type WeightMatrix } from './quantize.js';

/** ONNX's numbers of the types of elements. */
const [float, uint8, int8] = [1, 2, 3];

/** Below so many inputs or outputs a product is not worth it: gates that forget are such. */
const smallest = 32;

/** Adds an initializer of the model, and returns its name. */
export type AddInitializer = (
  name: string,
  type: number,
  shape: readonly number[],
  data: Int8Array | Uint8Array | Float32Array,
) => string;

export interface DenseProducts {
  /** The product x W, or x Wᵀ, of rows and a weight; undefined where it stays as it is. */
  write(emitter: Emitter, x: string, weight: string, isTransposed: boolean): string | undefined;
}

/** Dense products whose weights are among these arrays, in int8 or int4. */
export function denseProducts(
  dtype: Exclude<ProductDtype, 'float32'>,
  weights: ReadonlyMap<string, HostTensor>,
  add: AddInitializer,
): DenseProducts {
  const known = new Map<string, readonly [values: string, scales: string]>();
  const kept = (name: string, matrix: WeightMatrix) => {
    const found = known.get(name);
    if (found !== undefined) return found;
    const { inputs, outputs } = matrix;
    const own = dtype === 'int8' ? toInt8(matrix) : toInt4(matrix);
    const blocks = Math.ceil(inputs / blockSize);
    const names =
      dtype === 'int8'
        ? ([
            add(`${name}/int8`, int8, [inputs, outputs], own.values),
            add(`${name}/scale`, float, [outputs], own.scales),
          ] as const)
        : ([
            add(`${name}/int4`, uint8, [outputs, blocks, blockSize / 2], own.values),
            add(`${name}/scale`, float, [outputs * blocks], own.scales),
          ] as const);
    known.set(name, names);
    return names;
  };
  return {
    write(emitter, x, weight, isTransposed) {
      const tensor = weights.get(weight);
      if (tensor === undefined) return undefined;
      const [rows, columns] = tensor.shape as [number, number];
      const [inputs, outputs] = isTransposed ? [columns, rows] : [rows, columns];
      if (inputs < smallest || outputs < smallest) return undefined;
      const [inputStep, outputStep] = isTransposed ? [1, columns] : [columns, 1];
      const matrix = { data: tensor.data, inputs, outputs, inputStep, outputStep };
      const [values, scales] = kept(isTransposed ? `${weight}/transposed` : weight, matrix);
      if (dtype === 'int4') return inBlocks(emitter, x, [values, scales], matrix);
      const [rounded, scale, zero] = emitter.emitMany('DynamicQuantizeLinear', [x], {}, { outputCount: 3 });
      const counted = emitter.emit('MatMulInteger', [rounded!, values, zero!]);
      const product = emitter.emit('Cast', [counted], { to: float });
      return emitter.emit('Mul', [product, emitter.emit('Mul', [scale!, scales])]);
    },
  };
}

/** The activations become int8 within each block, which is what makes it fast (`accuracy_level` 4). */
function inBlocks(
  emitter: Emitter,
  x: string,
  [values, scales]: readonly [string, string],
  { inputs, outputs }: Pick<WeightMatrix, 'inputs' | 'outputs'>,
): string {
  const attributes = { K: inputs, N: outputs, bits: 4, block_size: blockSize, accuracy_level: 4 };
  return emitter.emit('MatMulNBits', [x, values, scales], attributes, { domain: 'com.microsoft' });
}

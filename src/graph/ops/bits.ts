/** Bit operations on uint32, for counter-based hashing inside the graph. */
import { broadcastShapes } from '../../base/shape.js';
import { apply, expectDtype, here, type Op, type Tensor, zeroGradient } from '../tensor.js';
import { elementByElement, mapBroadcast } from './broadcast.js';
import { scalar } from './constant.js';

function bitwise(
  name: string,
  onnx: string,
  attributes: Record<string, string>,
  evaluate: (a: number, b: number) => number,
): (a: Tensor<'uint32'>, b: Tensor<'uint32'> | number) => Tensor<'uint32'> {
  const op: Op<null, 'uint32'> = {
    name,
    infer: ([a, b]) => {
      expectDtype(name, [a!, b!], 'uint32');
      return [{ dtype: 'uint32', shape: broadcastShapes(here(name), a!.shape, b!.shape) }];
    },
    evaluate: (inputs, _, { outputShapes }) => [
      mapBroadcast(inputs, outputShapes[0]!, (a, b) => evaluate(a!, b!) >>> 0),
    ],
    differentiate: zeroGradient,
    lower: elementByElement(onnx, attributes),
  };
  return (a, b) => apply(op, [a, typeof b === 'number' ? scalar(b, 'uint32') : b], null);
}

/** a ⊕ b, bit for bit. Uint32, without a gradient; shapes broadcast. */
export const bitwiseXor = bitwise('bitwiseXor', 'BitwiseXor', {}, (a, b) => a ^ b);
/** a shifted right by b bits, with zeros from the left. Uint32, without a gradient; shapes broadcast. */
export const shiftRight = bitwise('shiftRight', 'BitShift', { direction: 'RIGHT' }, (a, b) => a >>> b);

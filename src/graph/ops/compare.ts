/** Comparisons and the logic of booleans; none has a gradient. */
import type { Dtype } from '../../base/array.js';
import { broadcastShapes } from '../../base/shape.js';
import { apply, expectDtype, here, type Op, type Tensor, zeroGradient } from '../tensor.js';
import { elementByElement, mapBroadcast } from './broadcast.js';
import { toTensors } from './constant.js';

const numbers = ['float32', 'int32', 'int64', 'uint32'] as const;

function comparison<C extends Dtype>(
  name: string,
  onnx: string,
  operands: readonly C[],
  evaluate: (a: number, b: number) => boolean,
): <D extends C>(a: Tensor<D> | number, b: Tensor<D> | number) => Tensor<'bool'> {
  const op: Op<null, 'bool'> = {
    name,
    infer: ([a, b]) => {
      expectDtype(name, [a!], ...operands);
      expectDtype(name, [b!], a!.dtype);
      return [{ dtype: 'bool', shape: broadcastShapes(here(name), a!.shape, b!.shape) }];
    },
    evaluate: (inputs, _, { outputShapes }) => [
      mapBroadcast(inputs, outputShapes[0]!, (a, b) => Number(evaluate(a!, b!))),
    ],
    differentiate: zeroGradient,
    lower: elementByElement(onnx),
  };
  return (a, b) => apply(op, toTensors(a, b), null);
}

/** a = b as bool; shapes broadcast. No gradient passes through comparisons. */
export const equal = comparison('equal', 'Equal', numbers, (a, b) => a === b);
/** a < b as bool; shapes broadcast. */
export const less = comparison('less', 'Less', numbers, (a, b) => a < b);
/** a ≤ b as bool; shapes broadcast. */
export const lessOrEqual = comparison('lessOrEqual', 'LessOrEqual', numbers, (a, b) => a <= b);
/** Whether both hold; shapes broadcast. */
export const and = comparison('and', 'And', ['bool'], (a, b) => a !== 0 && b !== 0);
/** Whether one of two holds, or both; shapes broadcast. */
export const or = comparison('or', 'Or', ['bool'], (a, b) => a !== 0 || b !== 0);

const notOp: Op<null, 'bool'> = {
  name: 'not',
  infer: ([x]) => {
    expectDtype('not', [x!], 'bool');
    return [{ dtype: 'bool', shape: x!.shape }];
  },
  evaluate: ([x]) => [x!.data.map((value) => 1 - value)],
  differentiate: zeroGradient,
  lower: (emitter, inputs) => [emitter.emit('Not', inputs)],
};

/** Whether it does not hold. */
export function not(x: Tensor<'bool'>): Tensor<'bool'> {
  return apply(notOp, [x], null);
}

/** Choosing between values, changing their type, and stopping gradients. */
import type { Dtype } from '../../base/array.js';
import { broadcastShapes } from '../../base/shape.js';
import { type AnyTensor, apply, expectDtype, here, type Op, type Tensor, zeroGradient } from '../tensor.js';
import { elementByElement, mapBroadcast } from './broadcast.js';
import { scalar } from './constant.js';
import { sumTo } from './expand-and-sum.js';

const whereOp: Op<null, Dtype> = {
  name: 'where',
  infer: ([condition, a, b]) => {
    expectDtype('where', [condition!], 'bool');
    expectDtype('where', [b!], a!.dtype);
    const values = broadcastShapes(here('where'), a!.shape, b!.shape);
    return [{ dtype: a!.dtype, shape: broadcastShapes(here('where'), condition!.shape, values) }];
  },
  evaluate: (inputs, _, { outputShapes }) => [
    mapBroadcast(inputs, outputShapes[0]!, (condition, a, b) => (condition ? a! : b!)),
  ],
  differentiate: ({ inputs: [given, a, b], gradients: [g] }) => {
    const condition = given as AnyTensor as Tensor<'bool'>;
    return [
      undefined,
      sumTo(where(condition, g!, scalar(0)), a!.shape),
      sumTo(where(condition, scalar(0), g!), b!.shape),
    ];
  },
  lower: elementByElement('Where'),
};

/** a where the condition holds, else b, all broadcast. */
export function where<D extends Dtype>(condition: Tensor<'bool'>, a: Tensor<D>, b: Tensor<D>): Tensor<D> {
  return apply(whereOp, [condition, a, b], null) as Tensor<D>;
}

/** The numbers of TensorProto.DataType. */
export const onnxDtypes: Readonly<Record<Dtype, number>> = {
  float32: 1,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
  uint32: 12,
};

const castOp: Op<{ to: Dtype }, Dtype> = {
  name: 'cast',
  infer: ([x], { to }) => [{ dtype: to, shape: x!.shape }],
  evaluate: ([x], { to }) => {
    if (to === 'float32' || to === 'float64') return [x!.data];
    if (to === 'bool') return [x!.data.map((value) => Number(value !== 0))];
    if (to === 'uint32') return [x!.data.map((value) => Math.trunc(value) >>> 0)];
    return [x!.data.map(Math.trunc)];
  },
  differentiate: zeroGradient,
  lower: (emitter, inputs, { to }) => [emitter.emit('Cast', inputs, { to: onnxDtypes[to] })],
};

/** The same values in another dtype; carries no gradient. */
export function cast<D extends Dtype>(x: AnyTensor, to: D): Tensor<D> {
  return (x.dtype === to ? x : apply(castOp, [x], { to })) as Tensor<D>;
}

const stopGradientOp: Op<null, Dtype> = {
  name: 'stopGradient',
  infer: ([x]) => [x!],
  evaluate: ([x]) => [x!.data],
  differentiate: zeroGradient,
  lower: (_, [name]) => [name!],
};

/** The value itself, taken as a constant by the gradient. */
export function stopGradient<D extends Dtype>(x: Tensor<D>): Tensor<D> {
  return apply(stopGradientOp, [x], null) as Tensor<D>;
}

/** Repeating along axes and summing over them: each is the gradient of the other. */
import type { Dtype } from '../../base/array.js';
import { type Dim, sameDim } from '../../base/dimension.js';
import { formatShape, type Shape, sameShape } from '../../base/shape.js';
import { apply, type Op, shapeError, type Tensor } from '../tensor.js';
import { broadcast } from './broadcast.js';
import { reshape } from './layout.js';
import { foldWith, reduction } from './reduction.js';

const broadcastToOp: Op<{ shape: Shape }, Dtype> = {
  name: 'broadcastTo',
  infer: ([x], { shape }) => {
    const extra = shape.length - x!.shape.length;
    const fits = extra >= 0 && x!.shape.every((dim, axis) => dim === 1 || sameDim(dim, shape[axis + extra] as Dim));
    if (!fits) throw shapeError('broadcastTo', `a shape that broadcasts to ${formatShape(shape)}`, x!);
    return [{ dtype: x!.dtype, shape }];
  },
  evaluate: ([x], _, { outputShapes }) => [broadcast(x!, outputShapes[0]!)],
  differentiate: ({ inputs: [x], gradients: [g] }) => [sumTo(g!, x!.shape)],
  lower: (emitter, [x], { shape }) => [emitter.emit('Expand', [x!, emitter.shape(shape)])],
};

/** Repeats along dimensions of 1 (and new leading ones). */
export function broadcastTo<D extends Dtype>(x: Tensor<D>, shape: Shape): Tensor<D> {
  return sameShape(x.shape, shape) ? x : (apply(broadcastToOp, [x], { shape }) as Tensor<D>);
}

/** The sum over axes, over all unless given; they stay with size 1 where `keep` is set. */
export const sum = reduction('sum', {
  onnx: 'ReduceSum',
  fold: foldWith(0, (a, b) => a + b),
  gradient: (g, x) => broadcastTo(g, x.shape),
});

/** Sums a tensor down to a shape that broadcasts to its own: the gradient of broadcasting. */
export function sumTo<D extends Dtype>(x: Tensor<D>, shape: Shape): Tensor<D> {
  const extra = x.rank - shape.length;
  const axes = x.shape.flatMap((dim, axis) => {
    const target = shape[axis - extra];
    return target === undefined || !sameDim(target, dim) ? [axis] : [];
  });
  return axes.length === 0 ? x : reshape(sum(x, axes, true), shape);
}

/** Reductions over axes that need arithmetic, and running sums. */
import type { Dtype } from '../../base/array.js';
import { type Dim, sameDim } from '../../base/dimension.js';
import { internalError } from '../../base/errors.js';
import { normalizeAxis, stridesOf } from '../../base/shape.js';
import type { Emitter } from '../emitter.js';
import { type AnyTensor, apply, expectDtype, here, type Op, type Tensor, zeroGradient } from '../tensor.js';
import { equal } from './compare.js';
import { size } from './constant.js';
import { add, divide, exp, log, multiply, subtract } from './elementwise.js';
import { sum } from './expand-and-sum.js';
import { reshape } from './layout.js';
import { type Axes, foldWith, reduceArray, reducedShape, reduction, sortedAxes } from './reduction.js';
import { cast, stopGradient } from './select.js';

/** The maximum; its gradient is shared equally by the elements that attain it. */
export const max = reduction('max', {
  onnx: 'ReduceMax',
  fold: foldWith(-Infinity, Math.max),
  gradient: (g, x, y) => {
    const attained = cast(equal(x, y), 'float32');
    const axes = x.shape.flatMap((dim, axis) => (sameDim(dim, y.dim(axis)) ? [] : [axis]));
    return multiply(attained, divide(g, sum(attained, axes, true)));
  },
});

function countOf(x: AnyTensor, axes: readonly number[]): Dim[] {
  return axes.map((axis) => x.dim(axis));
}

/** The mean over axes, over all unless given; they stay with size 1 where `keep` is set. */
export function mean(x: Tensor, axes?: Axes, keep = false): Tensor {
  const list = sortedAxes('mean', x, axes);
  const counts = countOf(x, list).map((dim) => size(dim));
  const count = counts.reduce((a, b) => multiply(a, b));
  return divide(sum(x, list, keep), count);
}

/** log Σ exp over the axes, without overflow. */
export function logSumExp(x: Tensor, axes?: Axes, keep = false): Tensor {
  const list = sortedAxes('logSumExp', x, axes);
  const top = stopGradient(max(x, list, true));
  const total = add(log(sum(exp(subtract(x, top)), list, true)), top);
  return keep ? total : reshape(total, reducedShape(x.shape, { axes: list, keep }));
}

const argMaxOp: Op<{ axis: number }, 'int64'> = {
  name: 'argMax',
  infer: ([x], { axis }) => [{ dtype: 'int64', shape: reducedShape(x!.shape, { axes: [axis], keep: false }) }],
  evaluate: ([x], { axis }) => [
    reduceArray(x!.shape, x!.data, [axis], (values, count) => {
      let best = 0;
      for (let index = 1; index < count; index++) if (values(index) > values(best)) best = index;
      return best;
    }),
  ],
  differentiate: zeroGradient,
  lower: (emitter, inputs, { axis }) => [emitter.emit('ArgMax', inputs, { axis, keepdims: 0 })],
};

/** The index of the first maximum along an axis, int64. */
export function argMax<D extends Dtype>(x: Tensor<D>, axis: number): Tensor<'int64'> {
  return apply(argMaxOp, [x], { axis: normalizeAxis(here('argMax'), axis, x.rank) });
}

interface CumulativeAttributes {
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

const cumulativeSumOp: Op<CumulativeAttributes> = {
  name: 'cumulativeSum',
  infer: ([x]) => [{ dtype: 'float32', shape: x!.shape }],
  evaluate: ([x], { axis, exclusive, reverse }) => {
    const { shape, data } = x!;
    const step = stridesOf(shape)[axis];
    const length = shape[axis];
    if (step === undefined || length === undefined) throw internalError('cumulativeSum without its axis');
    const out = new Float64Array(data.length);
    for (let block = 0; block < data.length; block += step * length) {
      for (let lane = 0; lane < step; lane++) {
        let total = 0;
        for (let i = 0; i < length; i++) {
          const at = block + lane + (reverse ? length - 1 - i : i) * step;
          const value = data[at] as number;
          out[at] = exclusive ? total : total + value;
          total += value;
        }
      }
    }
    return [out];
  },
  differentiate: ({ gradients: [g], attributes }) => [
    apply(cumulativeSumOp, [g!], { ...attributes, reverse: !attributes.reverse }),
  ],
  lower: (emitter: Emitter, [x], { axis, exclusive, reverse }) => [
    emitter.emit('CumSum', [x!, emitter.constant('int64', [], [axis])], {
      exclusive: Number(exclusive),
      reverse: Number(reverse),
    }),
  ],
};

/** Running sums along an axis; `exclusive` leaves out the element itself, `reverse` runs from the end. */
export function cumulativeSum(
  x: Tensor,
  axis: number,
  { exclusive = false, reverse = false }: { exclusive?: boolean; reverse?: boolean } = {},
): Tensor {
  expectDtype('cumulativeSum', [x], 'float32');
  return apply(cumulativeSumOp, [x], { axis: normalizeAxis(here('cumulativeSum'), axis, x.rank), exclusive, reverse });
}

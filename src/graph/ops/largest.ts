/** The largest along the last axis: where they are. */
import { apply, expectDtype, type Op, shapeError, type Tensor, zeroGradient } from '../tensor.js';

const hardmaxOp: Op<null> = {
  name: 'hardmax',
  infer: ([x]) => {
    expectDtype('hardmax', [x!], 'float32');
    return [{ dtype: 'float32', shape: x!.shape }];
  },
  evaluate: ([x]) => {
    const row = x!.shape.at(-1) as number;
    const out = new Float64Array(x!.data.length);
    for (let start = 0; start < out.length; start += row) out[start + largestOf(x!.data, start, row)[0]!] = 1;
    return [out];
  },
  differentiate: zeroGradient,
  lower: (emitter, inputs) => [emitter.emit('Hardmax', inputs, { axis: -1 })],
};

/** 1 at the first maximum of the last axis and 0 elsewhere; no gradient passes. */
export function hardmax(x: Tensor): Tensor {
  return apply(hardmaxOp, [x], null);
}

const topIndicesOp: Op<{ readonly count: number }, 'int64'> = {
  name: 'topIndices',
  infer: ([x], { count }) => {
    expectDtype('topIndices', [x!], 'float32');
    const size = x!.shape.at(-1);
    if (size === undefined || (typeof size === 'number' && size < count)) {
      throw shapeError('topIndices', `a last axis of at least ${count}`, x!);
    }
    return [{ dtype: 'int64', shape: [...x!.shape.slice(0, -1), count] }];
  },
  evaluate: ([x], { count }) => {
    const row = x!.shape.at(-1) as number;
    const rows = Array.from({ length: x!.data.length / row }, (_, at) => largestOf(x!.data, at * row, row, count));
    return [Float64Array.from(rows.flat())];
  },
  differentiate: zeroGradient,
  lower: (emitter, [x], { count }) => {
    const attributes = { axis: -1, largest: 1, sorted: 1 };
    const counts = emitter.constant('int64', [1], [count]);
    return [emitter.emitMany('TopK', [x!, counts], attributes, { outputCount: 2 })[1]!];
  },
};

/**
 * The indices of the `count` largest along the last axis, the largest first and of equal ones the first: [..., size] →
 * [..., count]. Throws SHAPE where the axis is shorter; no gradient passes.
 */
export function topIndices(x: Tensor, count: number): Tensor<'int64'> {
  return apply(topIndicesOp, [x], { count });
}

function largestOf(data: Float64Array, start: number, size: number, count = 1): number[] {
  const order = Array.from({ length: size }, (_, at) => at);
  return order.sort((a, b) => data[start + b]! - data[start + a]! || a - b).slice(0, count);
}

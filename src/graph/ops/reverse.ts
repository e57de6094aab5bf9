/** The elements of an axis from the last to the first. */
import type { Dtype } from '../../base/array.js';
import { elementCount, normalizeAxis } from '../../base/shape.js';
import { apply, here, type Op, type Tensor } from '../tensor.js';

const reverseOp: Op<{ axis: number }, Dtype> = {
  name: 'reverse',
  infer: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }],
  evaluate: ([x], { axis }) => {
    const { shape, data } = x!;
    const row = elementCount(shape.slice(axis + 1));
    const block = row * (shape[axis] as number);
    const out = new Float64Array(data.length);
    for (let at = 0; at < data.length; at += row) {
      const start = at - (at % block);
      out.set(data.subarray(at, at + row), start + block - row - (at - start));
    }
    return [out];
  },
  differentiate: ({ gradients: [g], attributes: { axis } }) => [reverse(g!, axis)],
  lower: (emitter, [x], { axis }) => {
    const one = (value: number) => emitter.constant('int64', [1], [value]);
    // Backwards from the last element to beyond the first one, whatever their number.
    return [emitter.emit('Slice', [x!, one(-1), one(-(2 ** 31)), one(axis), one(-1)])];
  },
};

/** x with the elements of an axis in the opposite order. */
export function reverse<D extends Dtype>(x: Tensor<D>, axis: number): Tensor<D> {
  return apply(reverseOp, [x], { axis: normalizeAxis(here('reverse'), axis, x.rank) }) as Tensor<D>;
}

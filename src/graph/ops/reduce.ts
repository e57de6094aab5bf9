/** Reductions over axes. */
import { type Dim, sameDim } from '../../base/dimension.js';
import { internalError } from '../../base/errors.js';
import { normalizeAxis, type Shape, stridesOf } from '../../base/shape.js';
import type { Emitter } from '../emitter.js';
import { apply, expectDtype, here, type Op, type Tensor, zeroGradient } from '../tensor.js';
import { stridedOffsets } from './broadcast.js';
import { equal } from './compare.js';
import { size } from './constant.js';
import { add, divide, exp, log, multiply, subtract } from './elementwise.js';
import { broadcastTo, reshape } from './layout.js';
import { cast, stopGradient } from './select.js';

interface ReduceAttributes {
  /** Sorted, counted from the start. */
  readonly axes: readonly number[];
  readonly keep: boolean;
}

function reducedShape(shape: Shape, { axes, keep }: ReduceAttributes): Shape {
  if (keep) return shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** For each output element in order, calls `fold` with the input's values. */
function reduceArray(
  shape: readonly number[],
  data: Float64Array,
  axes: readonly number[],
  fold: (values: (index: number) => number, count: number) => number,
): Float64Array {
  const strides = stridesOf(shape);
  const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const pick = (which: readonly number[]) =>
    stridedOffsets(
      which.map((axis) => shape[axis] as number),
      which.map((axis) => strides[axis] as number),
    );
  const outer = pick(kept);
  const inner = pick(axes);
  return Float64Array.from(outer, (base) =>
    fold((index) => data[base + (inner[index] as number)] as number, inner.length),
  );
}

interface ReduceRules {
  readonly onnx: string;
  readonly fold: (values: (index: number) => number, count: number) => number;
  readonly gradient: (g: Tensor, x: Tensor, y: Tensor) => Tensor;
}

type Axes = number | readonly number[] | undefined;

function sortedAxes(name: string, x: Tensor, axes: Axes): readonly number[] {
  const list = axes === undefined ? x.shape.map((_, axis) => axis) : typeof axes === 'number' ? [axes] : axes;
  return list.map((axis) => normalizeAxis(here(name), axis, x.rank)).sort((a, b) => a - b);
}

function reduction(name: string, rules: ReduceRules) {
  const op: Op<ReduceAttributes> = {
    name,
    infer: ([x], attributes) => {
      expectDtype(name, [x!], 'float32', 'int32', 'int64');
      return [{ dtype: x!.dtype, shape: reducedShape(x!.shape, attributes) }];
    },
    evaluate: ([x], { axes }) => [reduceArray(x!.shape, x!.data, axes, rules.fold)],
    differentiate: ({ inputs: [x], outputs: [y], gradients: [g], attributes }) => {
      const kept = reducedShape(x!.shape, { ...attributes, keep: true });
      return [rules.gradient(reshape(g!, kept), x!, reshape(y!, kept))];
    },
    lower: (emitter, [x], { axes, keep }) => {
      const axesName = emitter.constant('int64', [axes.length], axes);
      return [emitter.emit(rules.onnx, [x!, axesName], { keepdims: Number(keep) })];
    },
  };
  return (x: Tensor, axes?: Axes, keep = false): Tensor => {
    const list = sortedAxes(name, x, axes);
    return list.length === 0 ? x : apply(op, [x], { axes: list, keep });
  };
}

function foldWith(start: number, combine: (a: number, b: number) => number): ReduceRules['fold'] {
  return (values, count) => {
    let result = start;
    for (let index = 0; index < count; index++) result = combine(result, values(index));
    return result;
  };
}

export const sum = reduction('sum', {
  onnx: 'ReduceSum',
  fold: foldWith(0, (a, b) => a + b),
  gradient: (g, x) => broadcastTo(g, x.shape),
});

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

function countOf(x: Tensor, axes: readonly number[]): Dim[] {
  return axes.map((axis) => x.dim(axis));
}

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

/** Sums a tensor down to a shape that broadcasts to its own: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  const extra = x.rank - shape.length;
  const axes = x.shape.flatMap((dim, axis) => {
    const target = shape[axis - extra];
    return target === undefined || !sameDim(target, dim) ? [axis] : [];
  });
  return axes.length === 0 ? x : reshape(sum(x, axes, true), shape);
}

const argMaxOp: Op<{ axis: number }> = {
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
export function argMax(x: Tensor, axis: number): Tensor {
  return apply(argMaxOp, [x], { axis: normalizeAxis(here('argMax'), axis, x.rank) });
}

interface CumulativeAttributes {
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

const cumulativeSumOp: Op<CumulativeAttributes> = {
  name: 'cumulativeSum',
  infer: ([x]) => [x!],
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

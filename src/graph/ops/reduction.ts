/** What all reductions over axes share: their axes and shapes, the walk of the oracle, and how an op is made of its rules. */
import type { Dtype } from '../../base/array.js';
import { normalizeAxis, type Shape, stridesOf } from '../../base/shape.js';
import { type AnyTensor, apply, expectDtype, here, type Op, type Tensor } from '../tensor.js';
import { stridedOffsets } from './broadcast.js';
import { reshape } from './layout.js';

interface ReduceAttributes {
  /** Sorted, counted from the start. */
  readonly axes: readonly number[];
  readonly keep: boolean;
}

export function reducedShape(shape: Shape, { axes, keep }: ReduceAttributes): Shape {
  if (keep) return shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** For each output element in order, calls `fold` with the input's values. */
export function reduceArray(
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

/** One axis, several, or all where none are given. */
export type Axes = number | readonly number[] | undefined;

/** The axes counted from the start, in order. */
export function sortedAxes(name: string, x: AnyTensor, axes: Axes): readonly number[] {
  const list = axes === undefined ? x.shape.map((_, axis) => axis) : typeof axes === 'number' ? [axes] : axes;
  return list.map((axis) => normalizeAxis(here(name), axis, x.rank)).sort((a, b) => a - b);
}

/** An op that reduces over axes, for the family of its rules. */
export function reduction(name: string, rules: ReduceRules) {
  const op: Op<ReduceAttributes, Dtype> = {
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
  return <D extends Dtype>(x: Tensor<D>, axes?: Axes, keep = false): Tensor<D> => {
    const list = sortedAxes(name, x, axes);
    return list.length === 0 ? x : (apply(op, [x], { axes: list, keep }) as Tensor<D>);
  };
}

/** A fold from a first value on. */
export function foldWith(start: number, combine: (a: number, b: number) => number): ReduceRules['fold'] {
  return (values, count) => {
    let result = start;
    for (let index = 0; index < count; index++) result = combine(result, values(index));
    return result;
  };
}

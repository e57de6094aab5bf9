/**
 * Layouts: what a model is made of before there are values. A leaf says its dtype and shape, and its first value.
 *
 * Parameters are learned, buffers are drawn (random projections, shapes of features), and states are what a model keeps
 * of the tokens that it has read. Whatever handles them walks over layouts and knows no names.
 */
import { type AnyHostTensor, type Dtype, float32, type HostTensor, zeros } from './array.js';
import type { Dim } from './dimension.js';
import { PerformerError } from './errors.js';
import type { Random } from './random.js';
import { elementCount, type Shape } from './shape.js';
import { leavesOf, type MapLeaves, mapTree } from './tree.js';

/** A float32 parameter and the normal distribution of its first values. */
export interface ParameterSpec {
  readonly dtype: 'float32';
  readonly shape: readonly number[];
  readonly mean: number;
  readonly deviation: number;
  /** Added to the diagonal of the two trailing axes. */
  readonly diagonal?: number | undefined;
}

/** A float32 array that no gradient changes, and how its values are made; equal generators give equal values. */
export interface BufferSpec {
  readonly dtype: 'float32';
  readonly shape: readonly number[];
  /** A value of the buffer: equal streams of random numbers give equal values. */
  draw(random: Random): HostTensor;
}

/** A part of a state: the value that it has throughout before the first token, and the axis along which it grows. */
export interface StateSpec {
  readonly dtype: Dtype;
  /** The batch first. Along an axis that grows, the size before the first token: 0. */
  readonly shape: Shape;
  readonly initial: number;
  /** The axis that is as long as the text that was read; none where the size is fixed. */
  readonly growing?: number | undefined;
  /** The axis that is as long as the source that was read; 0 before. */
  readonly ofSource?: number | undefined;
}

/** Values drawn from N(0, deviation²). */
export function drawn(shape: readonly number[], deviation: number): ParameterSpec {
  return { dtype: 'float32', shape, mean: 0, deviation };
}

/** The same value everywhere. */
export function filled(shape: readonly number[], value: number): ParameterSpec {
  return { dtype: 'float32', shape, mean: value, deviation: 0 };
}

/** Square matrices in the two trailing axes with the same value on each diagonal and zeros beside it. */
export function diagonal(shape: readonly number[], value: number): ParameterSpec {
  return { ...filled(shape, 0), diagonal: value };
}

/** How many numbers the arrays of a tree hold: the parameters of a model, given what it learns. */
export function parameterCount(tree: object): number {
  return leavesOf<object, { readonly shape: readonly number[] }>(tree).reduce(
    (total, [, { shape }]) => total + elementCount(shape),
    0,
  );
}

/** First values for every parameter of a tree; each draws from a generator named by its path. */
export function initialize<T>(layout: T, random: Random): MapLeaves<T, HostTensor> {
  return mapTree(layout, ({ shape, mean, deviation, diagonal: own = 0 }: ParameterSpec, path) => {
    const count = elementCount(shape);
    const values =
      deviation === 0
        ? new Float32Array(count).fill(mean)
        : Float32Array.from(random.split(path).normals(count), (value) => mean + deviation * value);
    if (own !== 0) {
      const dim = shape.at(-1) as number;
      for (let at = 0; at < count; at += dim * dim) {
        for (let i = 0; i < dim; i++) values[at + i * (dim + 1)]! += own;
      }
    }
    return float32(shape, values);
  });
}

/** Values for every buffer of a tree. */
export function drawBuffers<T>(layout: T, random: Random): MapLeaves<T, HostTensor> {
  return mapTree(layout, (buffer: BufferSpec) => buffer.draw(random));
}

/** The buffers of a layout, each drawn from the branch `name` of the generator that it is given. */
export function branchBuffers<T>(layout: T, name: number | string): T {
  return mapTree(
    layout,
    (buffer: BufferSpec): BufferSpec => ({
      ...buffer,
      draw: (random) => buffer.draw(random.split(name)),
    }),
  ) as T;
}

/** The state before the first token. Throws SHAPE for a batch that is a symbol. */
export function emptyState<T>(layout: T): MapLeaves<T, AnyHostTensor> {
  return mapTree(layout, ({ dtype, shape, initial }: StateSpec) => {
    const values = zeros(dtype, staticShape(shape));
    if (initial !== 0) values.data.fill(initial as never);
    return values;
  });
}

/** The shape of a part of a state after `past` tokens, and after a source of so many. */
export function shapeAfter({ shape, growing, ofSource }: StateSpec, past: Dim, source: Dim = past): Shape {
  return shape.map((size, axis) => (axis === growing ? past : axis === ofSource ? source : size));
}

function staticShape(shape: Shape): number[] {
  return shape.map((size) => {
    if (typeof size === 'number') return size;
    throw new PerformerError('SHAPE', `emptyState: expected a state of known size, got one with the size ${size}.`);
  });
}

/** Arrays that live on the host: what goes into an engine and what comes out. */
import { PerformerError } from './errors.js';
import { elementCount, formatShape } from './shape.js';

/** The types of elements. Models are float32; tokens are int32, keys of dropout uint32, indices int64, masks bool. */
export type Dtype = 'float32' | 'float64' | 'int32' | 'int64' | 'uint32' | 'bool';

/** The typed array that holds the elements of each dtype; bool is a byte, 0 or 1. */
export interface DataOf {
  float32: Float32Array;
  float64: Float64Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint32: Uint32Array;
  bool: Uint8Array;
}

/** A dense row-major array with a fixed shape. A plain `HostTensor` is float32, as nearly all of a model is. */
export interface HostTensor<D extends Dtype = 'float32'> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DataOf[D];
}

/** An array of whatever dtype. */
export type AnyHostTensor = HostTensor<Dtype>;

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const;

/** Throws DTYPE unless an array is of the kind that its dtype has, and SHAPE unless it has as many elements as its shape. */
export function checkArray(where: string, { dtype, shape, data }: AnyHostTensor): void {
  const kind = constructors[dtype]?.name;
  const got = ArrayBuffer.isView(data) ? data.constructor.name : typeof data;
  if (kind === undefined || kind !== (data as { [Symbol.toStringTag]?: string })?.[Symbol.toStringTag]) {
    const expected = kind ?? `a dtype among ${Object.keys(constructors).join(', ')}`;
    throw new PerformerError('DTYPE', `${where}: expected ${expected} for ${dtype}, got ${got}.`);
  }
  const count = elementCount(shape);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new PerformerError('SHAPE', `${where}: expected sizes from 0 in a shape, got ${formatShape(shape)}.`);
  }
  if (count === data.length) return;
  const why = data.length === 0 && data.buffer.byteLength === 0 ? ' Its buffer is empty, or was transferred.' : '';
  throw new PerformerError(
    'SHAPE',
    `${where}: expected ${count} elements for ${formatShape(shape)}, got ${data.length}.${why}`,
  );
}

/**
 * A HostTensor over `data`, which is kept and not copied. Throws DTYPE for data of another kind, and SHAPE when the number of
 * elements does not fit.
 */
export function hostTensor<D extends Dtype>(dtype: D, shape: readonly number[], data: DataOf[D]): HostTensor<D> {
  const tensor = { dtype, shape, data };
  checkArray('hostTensor', tensor as AnyHostTensor);
  return tensor;
}

/** An array of zeros (false for bool). */
export function zeros<D extends Dtype>(dtype: D, shape: readonly number[]): HostTensor<D> {
  const data = new constructors[dtype](elementCount(shape));
  return { dtype, shape, data: data as DataOf[Dtype] as DataOf[D] };
}

/** A float32 array. A `Float32Array` is kept and not copied. Throws SHAPE when the number of values does not fit. */
export function float32(shape: readonly number[], values: ArrayLike<number>): HostTensor {
  return hostTensor('float32', shape, values instanceof Float32Array ? values : Float32Array.from(values));
}

/** An int32 array. An `Int32Array` is kept and not copied. Throws SHAPE when the number of values does not fit. */
export function int32(shape: readonly number[], values: ArrayLike<number>): HostTensor<'int32'> {
  return hostTensor('int32', shape, values instanceof Int32Array ? values : Int32Array.from(values));
}

/** A uint32 array of a copy of the values. Throws SHAPE when their number does not fit. */
export function uint32(shape: readonly number[], values: ArrayLike<number>): HostTensor<'uint32'> {
  return hostTensor('uint32', shape, Uint32Array.from(values));
}

/** A float32 array of shape []. */
export function float32Scalar(value: number): HostTensor {
  return float32([], [value]);
}

/** The bytes of the elements. */
export function byteLength(tensor: AnyHostTensor): number {
  return tensor.data.byteLength;
}

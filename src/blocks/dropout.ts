/**
 * Dropout from a counter-based hash: which elements are dropped is a function of seed, step, site and element, so that
 * a resumed or recomputed step drops the same ones. (The engine's own random ops restart with each session.)
 */
import { hashName } from '../base/random.js';
import { elementCount } from '../base/shape.js';
import {
  bitwiseXor,
  cast,
  less,
  multiply,
  range,
  reshape,
  scalar,
  shiftRight,
  type Tensor,
  where,
} from '../graph/index.js';

/** What the masks of a step are drawn from: equal keys give equal masks. */
export interface DropoutKey {
  /** uint32 scalars, inputs of the graph. */
  readonly seed: Tensor<'uint32'>;
  readonly step: Tensor<'uint32'>;
}

/** The parts that are dropped in training, each from 0 up to, not including, 1. */
export interface DropoutRates {
  readonly embedding: number;
  readonly attention: number;
  readonly feedForward: number;
}

/** What is dropped in a step of training, and how often. */
export interface Dropout {
  readonly key: DropoutKey;
  readonly rates: DropoutRates;
}

/** A bijective mixer of 32 bits: two rounds of xor-shift and multiply with constants of low bias (Wellons 2018). */
function mix(words: Tensor<'uint32'>): Tensor<'uint32'> {
  let x = bitwiseXor(words, shiftRight(words, 16));
  x = multiply(x, 0x7feb352d);
  x = bitwiseXor(x, shiftRight(x, 15));
  x = multiply(x, 0x846ca68b);
  return bitwiseXor(x, shiftRight(x, 16));
}

/** x with each element dropped at `rate` and the others scaled by 1/(1 − rate); x itself without a key or a rate. */
export function dropout(x: Tensor, rate: number, site: string, key: DropoutKey | undefined): Tensor {
  if (key === undefined || rate === 0) return x;
  const stream = mix(bitwiseXor(mix(bitwiseXor(mix(key.seed), key.step)), hashName(site)));
  const element = range(elementCount(x.shape), 'uint32');
  const bits = mix(bitwiseXor(mix(element), stream));
  const uniform = multiply(cast(shiftRight(bits, 8), 'float32'), 2 ** -24); // [0, 1) with 24 bits
  const factor = where(less(uniform, rate), scalar(0), scalar(1 / (1 - rate)));
  return multiply(x, reshape(factor, x.shape));
}

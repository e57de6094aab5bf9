/**
 * Denominators of maps whose kernel can be zero or negative (trigonometric, tanh, cos, …).
 *
 * By Cauchy–Schwarz |φ(q)·Σⱼφ(kⱼ)| ≤ mass = |φ(q)|·Σⱼ|φ(kⱼ)|. A denominator below a hundredth of that is noise, and is
 * taken to be so large, with its sign, so that no output exceeds a hundred times the largest value. The bound is that of
 * each row's own keys, so nothing of the future enters.
 *
 * The mass is carried as one more feature: |φ(k)| of a key and 0 of a query, whose other features are brought to length
 * 1. Then it stands in the last column of that feature's sums, in every form of attention and in the state.
 */
import type { FeatureMap, Features } from '../features/index.js';
import {
  abs,
  add,
  broadcastTo,
  concatenate,
  equal,
  less,
  log,
  maximum,
  multiply,
  negate,
  reciprocal,
  scalar,
  slice,
  sqrt,
  square,
  stopGradient,
  sum,
  type Tensor,
  where,
} from '../graph/index.js';

/** The part of the mass below which a denominator is taken for noise. */
export const denominatorFloor = 0.01;

/** What keeps a length above zero: its square root is far below that of any feature that matters. */
const tiny = 1e-30;

function lengthOf(values: Tensor): Tensor {
  return sqrt(maximum(sum(square(values), -1, true), tiny)); // [..., 1]
}

/** The map with the mass as its last feature, where its denominators need a guard; else the map itself. */
export function guarded(map: FeatureMap): FeatureMap {
  if (!map.isSigned) return map;
  const query = ({ values, logScale }: Features): Features => {
    const zero = broadcastTo(scalar(0), [...values.shape.slice(0, -1), 1]);
    const length = lengthOf(values);
    const ownScale = logScale === undefined ? log(length) : add(logScale, log(length));
    return { values: concatenate([multiply(values, reciprocal(length)), zero], -1), logScale: ownScale };
  };
  const key = ({ values, ...rest }: Features): Features => ({
    ...rest,
    values: concatenate([values, stopGradient(lengthOf(values))], -1),
  });
  return {
    ...map,
    featureCount: stateFeatureCount(map),
    query: (...rows) => query(map.query(...rows)),
    key: (...rows) => key(map.key(...rows)),
  };
}

/** The features of a map's state in attention: those of the map, and the mass where there is one. */
export function stateFeatureCount({ featureCount, isSigned }: Pick<FeatureMap, 'featureCount' | 'isSigned'>): number {
  return isSigned ? featureCount + 1 : featureCount;
}

/** The mass in rows whose last column has it, such as weights [..., features] of a guarded map: [..., 1]. */
export function massOf(weights: Tensor): Tensor {
  return slice(weights, -1, weights.staticDim(-1) - 1);
}

/** The mass in the sum [..., features, dim + 1] of a guarded map's state: [..., 1, 1]. */
export function massOfState(sum: Tensor): Tensor {
  return massOf(slice(sum, -2, sum.staticDim(-2) - 1));
}

/** A denominator that is none too small for its mass, both [..., 1], and where it was taken as it is. */
export function guardDenominator(denominator: Tensor, mass: Tensor): { guarded: Tensor; isOwn: Tensor<'bool'> } {
  const floor = multiply(mass, denominatorFloor);
  const size = abs(denominator);
  const raised = maximum(size, floor);
  const signed = where(less(denominator, 0), negate(raised), raised);
  // Features that are all zero leave nothing: a numerator of zero over anything.
  return { guarded: where(equal(raised, scalar(0)), scalar(1), signed), isOwn: less(floor, size) };
}

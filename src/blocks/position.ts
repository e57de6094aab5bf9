/**
 * Rotary positions: the angles of each token, exact at any position.
 *
 * Pair i of a head turns by position·θᵢ, θᵢ = 10000^(−2i/dim). A float32 product would lose the angle of far positions
 * (at 10⁶ it knows it to 0.06 only), so θ is counted in 2⁻³² turns and multiplied by the position in wrapping uint32
 * arithmetic, which drops the whole turns and nothing else.
 */

import type { Dim } from '../base/dimension.js';
import { add, cast, constant, cos, multiply, range, reshape, sin, type Tensor } from '../graph/index.js';

export interface RotaryAngles {
  /** [batch, length, dim/2] */
  readonly cosine: Tensor;
  /** [batch, length, dim/2] */
  readonly sine: Tensor;
}

/** The positions of `length` tokens after `start` [batch] of them: uint32 [batch, length]. */
export function positionsFrom(start: Tensor<'int32'>, length: Dim): Tensor<'uint32'> {
  return add(reshape(cast(start, 'uint32'), [start.dim(0), 1]), range(length, 'uint32'));
}

/** The angles for heads of size `dim` at `positions`, uint32 [batch, length]. */
export function rotaryAngles(positions: Tensor<'uint32'>, dim: number, base = 10_000): RotaryAngles {
  const half = dim / 2;
  const perTurn = 2 ** 32;
  const steps = Array.from({ length: half }, (_, i) => Math.round((base ** (-i / half) / (2 * Math.PI)) * perTurn));
  const phase = multiply(reshape(positions, [...positions.shape, 1]), constant('uint32', [half], steps));
  const angle = multiply(cast(phase, 'float32'), (2 * Math.PI) / perTurn);
  return { cosine: cos(angle), sine: sin(angle) };
}

/**
 * Rotary positions: the angles of each token, exact at any position.
 *
 * Pair i of the `dim` channels that turn does so by position·θᵢ, θᵢ = base^(−2i/dim). A float32 product would lose the angle of far positions
 * (at 10⁶ it knows it to 0.06 only), so θ is counted in 2⁻³² turns and multiplied by the position in wrapping uint32
 * arithmetic, which drops the whole turns and nothing else.
 */

import type { Dim } from '../base/dimension.js';
import { add, cast, constant, cos, multiply, range, reshape, sin, type Tensor } from '../graph/index.js';

/** Cosines and sines of the angles by which pairs of channels turn. */
export interface RotaryAngles {
  /** [batch, length, dim/2] */
  readonly cosine: Tensor;
  /** [batch, length, dim/2] */
  readonly sine: Tensor;
}

/** See `RotaryOptions.scaling`. */
export interface Llama3Scaling {
  readonly kind: 'llama3';
  readonly factor: number;
  readonly originalLength: number;
  readonly lowFrequency: number;
  readonly highFrequency: number;
}

/** How rotary positions turn (RoFormer, Su et al. 2021). */
export interface RotaryOptions {
  /** 10,000 unless given; a greater one turns slower. */
  readonly base?: number | undefined;
  /** The part of the channels that turn, the first ones of each half; all unless given. */
  readonly fraction?: number | undefined;
  /**
   * For texts `factor` times as long as those that the model learned: `linear` divides positions by it (Chen et al. 2023),
   * `ntk` makes the base greater, so that the slowest pair turns slower by it and the fastest as before (bloc97, 2023). `llama3`
   * (Llama 3.1) leaves pairs that turn more than `highFrequency` times in the `originalLength` of the texts learned, divides those
   * that turn less than `lowFrequency` times by the factor, and goes over from one to the other between.
   */
  readonly scaling?:
    | { readonly kind: 'none' }
    | { readonly kind: 'linear' | 'ntk'; readonly factor: number }
    | Llama3Scaling
    | undefined;
}

/** The positions of `length` tokens after `start` [batch] of them: uint32 [batch, length]. */
export function positionsFrom(start: Tensor<'int32'>, length: Dim): Tensor<'uint32'> {
  return add(reshape(cast(start, 'uint32'), [start.dim(0), 1]), range(length, 'uint32'));
}

/** The angles for heads of size `dim` at `positions`, uint32 [batch, length]. Channels that do not turn have the angle 0. */
export function rotaryAngles(positions: Tensor<'uint32'>, dim: number, options: RotaryOptions = {}): RotaryAngles {
  const half = dim / 2;
  const perTurn = 2 ** 32;
  const steps = frequencies(half, options).map((theta) => Math.round((theta / (2 * Math.PI)) * perTurn));
  const phase = multiply(reshape(positions, [...positions.shape, 1]), constant('uint32', [half], steps));
  const angle = multiply(cast(phase, 'float32'), (2 * Math.PI) / perTurn);
  return { cosine: cos(angle), sine: sin(angle) };
}

/** θᵢ of each pair of a head, in radians for a token. */
function frequencies(
  half: number,
  { base = 10_000, fraction = 1, scaling = { kind: 'none' } }: RotaryOptions,
): number[] {
  const turning = Math.max(1, Math.round(half * fraction));
  const stretched = scaling.kind === 'ntk' && turning > 1 ? base * scaling.factor ** (turning / (turning - 1)) : base;
  const slower = scaling.kind === 'linear' ? scaling.factor : 1;
  const scaled = (theta: number) => (scaling.kind === 'llama3' ? llama3Frequency(theta, scaling) : theta / slower);
  return Array.from({ length: half }, (_, i) => (i < turning ? scaled(stretched ** (-i / turning)) : 0));
}

function llama3Frequency(
  theta: number,
  { factor, originalLength, lowFrequency, highFrequency }: Llama3Scaling,
): number {
  const turns = (originalLength * theta) / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (turns - lowFrequency) / (highFrequency - lowFrequency)));
  return theta * (kept + (1 - kept) / factor);
}

/**
 * Positive features (Choromanski et al. 2021, lemma 1 and eq. 5): for x scaled by dim^(−1/4),
 *
 *   SM+          φ(x) = exp(−|x|²/2) · exp(Ωx) / √features,              E[φ(q)·φ(k)] = exp(q·k/√dim)
 *   hyperbolic   φ(x) = exp(−|x|²/2) · [exp(Ωx), exp(−Ωx)] / √features   the same, from antithetic pairs ±ω
 *   exponential  φ(x) = exp(Ωx) / √features                              E = exp(|q + k|²/(2√dim))
 *
 * Right for rows up to a norm of 10¹⁸; beyond, float32 cannot square them, and what attends to them is NaN. Logarithms of
 * features are rounded to 2⁻²⁴ of their size: from |x|²/√dim ≈ 10⁵ on weights are right to a percent only, and from 10⁷ on
 * a row gets the values of its heaviest keys.
 *
 * The Gaussian kernel exp(−γ|q − k|²) has the same features with x scaled by √(2γ) and exp(−|x|²) in front.
 */

import * as z from 'zod';
import { PerformerError } from '../base/errors.js';
import { option } from '../base/options.js';
import {
  add,
  concatenate,
  exp,
  matmul,
  max,
  multiply,
  negate,
  scalar,
  stopGradient,
  subtract,
  type Tensor,
  where,
} from '../graph/index.js';
import { featureFamily, need, projectionBuffer } from './family.js';
import type { FeatureMap, Features } from './feature-map.js';
import { attentionScale, exponentialFeatures, halfSquaredNorm } from './gauge.js';
import { type GaussianOptions, gaussianScale } from './gaussian.js';

/** Below any projection, and finite. */
const hidden = -3.4e38;

/** What positive features have beside the projection. */
export interface PositiveFeatureOptions extends GaussianOptions {
  /**
   * Added to every feature after a stabiliser was subtracted, as performer-pytorch does (there 1e-4). It biases the
   * estimate, ties all positions of the sequence together and is refused by causal attention. Finite, 0 or more; default 0.
   */
  readonly epsilon?: number | undefined;
}

/** performer-pytorch's features: exp(Ωx − |x|²/2 − stabiliser) + ε, the stabiliser a maximum of Ωx over visible rows. */
function epsilonFeatures(
  x: Tensor,
  projection: Tensor,
  epsilon: number,
  axes: readonly number[],
  mask?: Tensor<'bool'>,
): Features {
  const scale = attentionScale(x);
  const all = matmul(x, projection, { transposeRight: true, scale });
  const u = mask === undefined ? all : where(mask, all, scalar(hidden));
  const stabilizer = stopGradient(max(u, axes, true));
  return { values: add(exp(subtract(u, add(halfSquaredNorm(x, scale), stabilizer))), epsilon) };
}

/**
 * Positive features SM+ over a projection Ω [features, dim]; its gradient is not followed.
 *
 * @throws CONFIG for an epsilon below 0 or not finite, and for one beside a gamma.
 */
export function positiveFeatures(
  projection: Tensor,
  { epsilon = 0, ...options }: PositiveFeatureOptions = {},
): FeatureMap {
  if (!(epsilon >= 0 && epsilon < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `positiveFeatures: expected a finite epsilon of 0 or more, got ${epsilon}.`);
  }
  if (epsilon > 0 && options.gamma !== undefined) {
    throw new PerformerError('CONFIG', 'positiveFeatures: expected epsilon or gamma, got both.');
  }
  const frozen = stopGradient(projection);
  const { scale, normWeight } = gaussianScale(projection, options, 1);
  const plain = (x: Tensor) =>
    exponentialFeatures(
      matmul(x, frozen, { transposeRight: true, scale }),
      halfSquaredNorm(x, scale * Math.sqrt(normWeight)),
    );
  return {
    name: epsilon === 0 ? 'positive' : 'positive with epsilon',
    featureCount: projection.staticDim(0),
    isSequenceWide: epsilon > 0,
    query: (x) => (epsilon === 0 ? plain(x) : epsilonFeatures(x, frozen, epsilon, [-1])),
    // Axes of keys: [batch, heads, length, features]; the stabiliser is one for the sequence.
    key: (x, _position, mask) => (epsilon === 0 ? plain(x) : epsilonFeatures(x, frozen, epsilon, [-2, -1], mask)),
  };
}

/** Hyperbolic features, [exp(Ωx), exp(−Ωx)], over a projection Ω [features/2, dim]. */
export function hyperbolicFeatures(projection: Tensor, options: GaussianOptions = {}): FeatureMap {
  const frozen = stopGradient(projection);
  const { scale, normWeight } = gaussianScale(projection, options, 1);
  const features = (x: Tensor) => {
    const u = matmul(x, frozen, { transposeRight: true, scale }); // [..., features/2]
    return exponentialFeatures(concatenate([u, negate(u)], -1), halfSquaredNorm(x, scale * Math.sqrt(normWeight)));
  };
  return { name: 'hyperbolic', featureCount: 2 * projection.staticDim(0), query: features, key: features };
}

/** exp(Ωx) without the factor exp(−|x|²/2): generalised attention with f = exp. Without a projection, exp(x). */
export function exponentialMap(dim: number, projection?: Tensor): FeatureMap {
  const frozen = projection && stopGradient(projection);
  const features = (x: Tensor) => {
    const scale = attentionScale(x);
    return exponentialFeatures(
      frozen === undefined ? multiply(x, scale) : matmul(x, frozen, { transposeRight: true, scale }),
    );
  };
  return { name: 'exponential', featureCount: projection?.staticDim(0) ?? dim, query: features, key: features };
}

const featureEpsilon = option(
  z.number().min(0).max(1).optional(),
  'added to positive features, the largest of which is made 1 over all positions: as performer-pytorch has it (1e-4), without a causal order',
  { fallback: '0, and nothing made 1' },
);

export const positiveFamily = featureFamily({
  name: 'positive',
  text: 'FAVOR+: positive features of softmax',
  own: { featureEpsilon },
  hasRandomRows: true,
  isSigned: () => false,
  isSequenceWide: ({ featureEpsilon: epsilon = 0 }) => epsilon > 0,
  buffers: (options) => projectionBuffer(options),
  build: ({ featureEpsilon: epsilon }, { projection }) =>
    positiveFeatures(need(projection, 'a projection', 'positive'), { epsilon }),
});

export const hyperbolicFamily = featureFamily({
  name: 'hyperbolic',
  text: 'positive features in pairs ±ω',
  own: {},
  hasRandomRows: true,
  multiple: 2,
  isSigned: () => false,
  buffers: (options) => projectionBuffer(options, options.featureCount / 2),
  build: (_, { projection }) => hyperbolicFeatures(need(projection, 'a projection', 'hyperbolic')),
});

export const exponentialFamily = featureFamily({
  name: 'exponential',
  text: 'exp of the projections alone: generalised attention with f = exp',
  own: {},
  hasRandomRows: true,
  canBeDirect: true,
  isSigned: () => false,
  buffers: (options) => projectionBuffer(options),
  build: ({ headDim, projectionKind }, { projection }) =>
    exponentialMap(headDim, projectionKind === 'none' ? undefined : need(projection, 'a projection', 'exponential')),
});

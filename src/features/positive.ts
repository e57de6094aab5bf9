/**
 * Positive softmax features, SM+ (Choromanski et al. 2021, lemma 1, eq. 5): for x scaled by dim^(−1/4),
 *
 *   φ(x) = exp(−|x|²/2) · exp(Ωx) / √features,   E[φ(q)·φ(k)] = exp(q·k/√dim).
 *
 * With u = Ωx the features are written as softmax(u) · exp(logSumExp(u) − |x|²/2): one fused pass of the engine that
 * can neither overflow nor vanish. The factor 1/√features cancels in attention and is left out.
 */
import { PerformerError } from '../base/errors.js';
import {
  add,
  exp,
  log,
  matmul,
  max,
  multiply,
  softmax,
  square,
  stopGradient,
  subtract,
  sum,
  type Tensor,
  withGradient,
} from '../graph/index.js';
import type { FeatureMap, Features } from './feature-map.js';

export interface PositiveFeatureOptions {
  /**
   * Added to every feature after a stabiliser was subtracted, as performer-pytorch does (there 1e-4). It biases the
   * estimate, ties all positions of the sequence together and is refused by causal attention. Default 0.
   */
  readonly epsilon?: number;
}

/** φ as a gauge pair: values softmax(u), logScale lse(u) − |x|²/2. x [..., dim] → [..., features]. */
function gaugedFeatures(x: Tensor, projection: Tensor, isQuery: boolean): Features {
  const dim = x.staticDim(-1);
  const scale = dim ** -0.25;
  const u = matmul(x, projection, { transposeRight: true, scale }); // [..., features]
  const halfNorm = multiply(sum(square(x), -1, true), 0.5 * scale * scale); // [..., 1]
  const softened = softmax(u);
  const top = max(u, -1, true);
  // lse(u) = max u − log max softmax(u): reads the features, where a logSumExp would compute them again.
  const raw = subtract(subtract(top, log(max(softened, -1, true))), halfNorm);
  const [values, logScale] = withGradient([x], [softened, raw], ([gValues, gScale]) => {
    // φ = values·e^{logScale} alone matters, so ∂/∂u = values∘gValues, whose row sum is gScale (which the user of the
    // features passes on; a query's scale cancels and has none).
    if (gValues === undefined) return [undefined];
    const gx = matmul(multiply(softened, gValues), projection, { scale }); // [..., dim]
    if (gScale === undefined) return [gx];
    return [subtract(gx, multiply(x, multiply(gScale, scale * scale)))];
  }) as [Tensor, Tensor];
  const [logFeatures] = withGradient([x], [subtract(u, halfNorm)], ([g]) => {
    const gx = matmul(g!, projection, { scale });
    // The row sum of g is the gradient of −|x|²·scale²/2; a query's scale cancels, so that its sum is zero.
    return [isQuery ? gx : subtract(gx, multiply(x, multiply(sum(g!, -1, true), scale * scale)))];
  });
  return { values, logScale, logFeatures: logFeatures! };
}

/** performer-pytorch's features: exp(Ωx − |x|²/2 − stabiliser) + ε, the stabiliser a maximum of Ωx. */
function epsilonFeatures(x: Tensor, projection: Tensor, epsilon: number, axes: readonly number[]): Features {
  const scale = x.staticDim(-1) ** -0.25;
  const u = matmul(x, projection, { transposeRight: true, scale });
  const halfNorm = multiply(sum(square(x), -1, true), 0.5 * scale * scale);
  const stabilizer = stopGradient(max(u, axes, true));
  return { values: add(exp(subtract(u, add(halfNorm, stabilizer))), epsilon) };
}

/** Positive softmax features over a projection Ω [features, dim]. */
export function positiveFeatures(projection: Tensor, { epsilon = 0 }: PositiveFeatureOptions = {}): FeatureMap {
  if (!(epsilon >= 0)) {
    throw new PerformerError('CONFIG', `positiveFeatures: expected epsilon of 0 or more, got ${epsilon}.`);
  }
  const frozen = stopGradient(projection);
  return {
    name: epsilon === 0 ? 'positive' : 'positive with epsilon',
    featureCount: projection.staticDim(0),
    isSequenceWide: epsilon > 0,
    query: (x) => (epsilon === 0 ? gaugedFeatures(x, frozen, true) : epsilonFeatures(x, frozen, epsilon, [-1])),
    // Axes of keys: [batch, heads, length, features]; the stabiliser is one for the sequence.
    key: (x) => (epsilon === 0 ? gaugedFeatures(x, frozen, false) : epsilonFeatures(x, frozen, epsilon, [-2, -1])),
  };
}

/**
 * Features that are exponentials, φ_f(x) = exp(u_f − h)/√features, as softmax(u) · exp(logSumExp(u) − h − ½ log features):
 * one fused pass of the engine that can neither overflow nor vanish.
 */
import {
  add,
  log,
  max,
  multiply,
  negate,
  scalar,
  softmax,
  square,
  subtract,
  sum,
  type Tensor,
  withGradient,
} from '../graph/index.js';
import type { Features } from './feature-map.js';

/** u [..., features] and h [..., 1] → the features. */
export function exponentialFeatures(u: Tensor, h?: Tensor): Features {
  const softened = softmax(u);
  // lse(u) = max u − log max softmax(u): reads the features, where a logSumExp would compute them again.
  const total = subtract(max(u, -1, true), log(max(softened, -1, true)));
  const raw = subtract(h === undefined ? total : subtract(total, h), 0.5 * Math.log(u.staticDim(-1)));
  const inputs = h === undefined ? [u] : [u, h];
  const [values, logScale] = withGradient(inputs, [softened, raw], ([gValues, gScale]) => {
    // φ = values·e^{logScale} alone matters, so ∂/∂u = values∘gValues, whose row sum is gScale (which the user of the
    // features passes on; a query's scale cancels and has none).
    const gU = gValues && multiply(softened, gValues);
    return h === undefined ? [gU] : [gU, gScale && negate(gScale)];
  }) as [Tensor, Tensor];
  const logCount = 0.5 * Math.log(u.staticDim(-1));
  const logs = subtract(u, h === undefined ? logCount : add(h, logCount));
  // What ordinary differentiation gives, with the sum before the sign: one pass over the features instead of two.
  const [logFeatures] = withGradient(inputs, [logs], ([g]) => (h === undefined ? [g] : [g, negate(sum(g!, -1, true))]));
  return { values, logScale, logValues: u, logFeatures: logFeatures! };
}

/** scale²·|x|²/2, [..., 1]. */
export function halfSquaredNorm(x: Tensor, scale: number): Tensor {
  const norm = multiply(sum(square(x), -1, true), 0.5 * scale * scale);
  const [result] = withGradient([x], [norm], ([g]) => [multiply(x, multiply(g!, scale * scale))]);
  return result!;
}

/** A factor of all features of all rows as a logScale, which costs no pass over the features. */
export function constantLogScale(factor: number): Tensor {
  return scalar(Math.log(factor));
}

/** The factor of queries and keys that makes exp(q·k/√dim) of exp(q·k). */
export function attentionScale(x: Tensor): number {
  return x.staticDim(-1) ** -0.25;
}

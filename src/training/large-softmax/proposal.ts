/**
 * The proposal of RF-softmax in the graph: positive features of classes and of hidden vectors.
 *
 *   q_i ∝ e^{b_i}·φ(ĉ_i)·φ(ĥ) ≈ e^{ν·ĥ·ĉ_i + b_i},   φ of SM+ (features/positive.ts) on bounded vectors times √ν.
 *
 * The kernel's temperature ν may be below that of the logits τ: the relative variance of the features grows as
 * e^{ν|ĥ + ĉ|²}/features, and any positive q leaves the loss consistent, since the loss corrects for the q in use and not
 * for the kernel that it estimates.
 */

import { positiveFeatures } from '../../features/index.js';
import { add, divide, exp, matmul, maximum, mean, minimum, multiply, reshape, type Tensor } from '../../graph/index.js';
import { boundedRows, type ClassTable } from './class-logits.js';

/** Scores beyond e^±60 are cut there: float32 sums over all classes stay finite, and no class gets a weight of 0. */
const largestExponent = 60;

/** Bounded rows times √ν, and times dim^{1/4}, which the feature map takes off again. */
function scaledRows(x: Tensor, kernelTemperature: number): Tensor {
  return multiply(boundedRows(x), Math.sqrt(kernelTemperature) * x.staticDim(-1) ** 0.25);
}

/** e^{b}·φ(ĉ) of each class, positive: [classes, features]. projection [features, dim]. */
export function classFeatures({ weight, bias }: ClassTable, projection: Tensor, kernelTemperature: number): Tensor {
  const { logFeatures } = positiveFeatures(projection).key(scaledRows(weight, kernelTemperature));
  const exponent = add(logFeatures!, reshape(bias, [bias.dim(0), 1]));
  return exp(minimum(maximum(exponent, -largestExponent), largestExponent));
}

/**
 * The query z of the mixture of the rows' proposals, q̄ = mean_r q_r: hidden [rows, dim] and Σ φ(c_i) [features] →
 * [features].
 *
 * q_r(i) = φ(c_i)·φ(h_r)/Z_r with Z_r = Σ_j φ(c_j)·φ(h_r) is linear in φ(h_r)/Z_r. The mean over the rows is therefore one
 * query, whose draws from the tree are draws from the mixture with their exact probabilities.
 */
export function mixtureQuery(hidden: Tensor, projection: Tensor, total: Tensor, kernelTemperature: number): Tensor {
  // A factor per row cancels in φ(h)/Z: the features up to it will do, and cannot overflow.
  const { values } = positiveFeatures(projection).query(scaledRows(hidden, kernelTemperature)); // [rows, features]
  const partition = matmul(values, reshape(total, [total.dim(0), 1])); // [rows, 1]
  return mean(divide(values, partition), 0);
}

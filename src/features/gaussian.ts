/**
 * The two kernels that random features share, and what tells them apart: exp(q·k/√dim) (softmax) and exp(−γ|q − k|²)
 * (Gaussian), since exp(x·y) = e^{|x|²/2} · exp(−½|x − y|²) · e^{|y|²/2}. Rows ω ~ N(0, I) serve any γ, since x is scaled
 * by √(2γ): ωᵀ√(2γ)x is what a frequency from N(0, 2γI) gives.
 */
import { PerformerError } from '../base/errors.js';
import type { Tensor } from '../graph/index.js';
import { attentionScale } from './gauge.js';

/** Which kernel a map of random features estimates. */
export interface GaussianOptions {
  /** γ > 0: the Gaussian kernel exp(−γ|q − k|²) instead of the softmax kernel exp(q·k/√dim). */
  readonly gamma?: number;
}

/**
 * For a projection [rows, dim]: the factor of x, and how often |x|²/2 of the scaled x is subtracted, `softmaxWeight` times
 * and once more for the Gaussian. Throws CONFIG for a γ that is not positive.
 */
export function gaussianScale(
  projection: Tensor,
  { gamma }: GaussianOptions,
  softmaxWeight: number,
): { readonly scale: number; readonly normWeight: number } {
  if (gamma === undefined) return { scale: attentionScale(projection), normWeight: softmaxWeight };
  if (!(gamma > 0 && gamma < Number.POSITIVE_INFINITY)) {
    throw new PerformerError('CONFIG', `features: expected gamma > 0, got ${gamma}.`);
  }
  return { scale: Math.sqrt(2 * gamma), normWeight: softmaxWeight + 1 };
}

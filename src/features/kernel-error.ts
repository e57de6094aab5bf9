/** What is told of an estimate of a kernel: bias, variance and mean squared error, absolute and relative. */

export interface KernelError {
  /** What a map without error gives, K. It overflows where a float64 does; the relative figures do not follow it there. */
  readonly kernel: number;
  readonly bias: number;
  readonly variance: number;
  /** bias/K */
  readonly relativeBias: number;
  /** variance/K² */
  readonly relativeVariance: number;
  /** bias² + variance */
  readonly meanSquaredError: number;
}

/** From what is absolute. */
export function absoluteError(kernel: number, bias: number, variance: number): KernelError {
  return {
    kernel,
    bias,
    variance,
    relativeBias: bias / kernel,
    relativeVariance: variance / kernel ** 2,
    meanSquaredError: bias ** 2 + variance,
  };
}

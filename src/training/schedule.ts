/**
 * The learning rate over the steps: a linear warm-up, then a decay to the last step by a cosine or a line, a decay as
 * 1/√step, or none. The last two do not know the last step, so that a run can be made longer without a jump of the rate.
 */

export interface ScheduleConfig {
  readonly schedule: 'cosine' | 'linear' | 'constant' | 'inverse-square-root';
  /** The highest rate. */
  readonly learningRate: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** The step at which the decay by a cosine or a line ends. */
  readonly steps: number;
  /** The last rate of such a decay as a part of the highest. */
  readonly finalFraction: number;
}

/** The learning rate of a step, counted from 0. */
export function learningRateAt(step: number, config: ScheduleConfig): number {
  const { schedule, learningRate, warmup, steps, finalFraction } = config;
  if (step < warmup) return (learningRate * (step + 1)) / warmup;
  if (schedule === 'constant') return learningRate;
  if (schedule === 'inverse-square-root') return learningRate * Math.sqrt(Math.max(1, warmup) / (step + 1));
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  const remaining = schedule === 'linear' ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
  return learningRate * (finalFraction + (1 - finalFraction) * remaining);
}

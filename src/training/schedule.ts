/** The learning rate over the steps: a linear warm-up, then cosine, linear or no decay. */

export interface ScheduleConfig {
  readonly schedule: 'cosine' | 'linear' | 'constant';
  /** The highest rate. */
  readonly learningRate: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** The step at which the decay ends. */
  readonly steps: number;
  /** The last rate as a part of the highest. */
  readonly finalFraction: number;
}

/** The learning rate of a step, counted from 0. */
export function learningRateAt(step: number, config: ScheduleConfig): number {
  const { schedule, learningRate, warmup, steps, finalFraction } = config;
  if (step < warmup) return (learningRate * (step + 1)) / warmup;
  if (schedule === 'constant') return learningRate;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  const remaining = schedule === 'linear' ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
  return learningRate * (finalFraction + (1 - finalFraction) * remaining);
}

/**
 * γ of the Gaussian kernel exp(−γ|x − y|²): 1/median |x − y|² of a sample unless given, and within what float32 features can
 * tell of it.
 */
import { PerformerError } from '../base/errors.js';
import type { Columns } from './columns.js';
import type { FitPlan } from './config.js';
import { medianGamma } from './survey.js';

/**
 * The γ that features carry, as parts of 1/median |x − y|². Sines and cosines go from what is a line up to phases that
 * float32 still knows. Exponentials are 1 and a little for small γ, of which float32 soon keeps nothing, and vanish for
 * large ones.
 */
const ranges = {
  trigonometric: [1e-15, 1e8],
  positive: [1e-3, 1e2],
  hyperbolic: [1e-3, 1e2],
} as const;

/** Throws CONFIG for a γ out of range, and DATA where none is given and all rows are equal. */
export function settleGamma(
  where: string,
  { gamma: given, map }: Pick<FitPlan, 'gamma' | 'map'>,
  sample: readonly Float64Array[],
  columns: Columns,
): number {
  const median = medianGamma(sample, columns);
  const gamma = given ?? median;
  if (gamma === undefined) {
    throw new PerformerError('DATA', `${where}: expected rows that differ, got equal ones. Give gamma, or other rows.`);
  }
  const [least, most] = ranges[map as keyof typeof ranges];
  const unit = median ?? 1;
  if (gamma >= least * unit && gamma <= most * unit) return gamma;
  const range = `${(least * unit).toPrecision(3)} to ${(most * unit).toPrecision(3)}`;
  throw new PerformerError(
    'CONFIG',
    `${where}: gamma: expected ${range} for ${map} features of these rows, where 1/median |x − y|² is ` +
      `${unit.toPrecision(3)}, got ${gamma}. Leave gamma out, or take one nearer to that${map === 'trigonometric' ? '' : ', or the map trigonometric'}.`,
  );
}

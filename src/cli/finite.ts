/** Losses that are numbers. */
import { PerformerError } from '../base/errors.js';

/** Throws NUMERIC for a loss that is not finite. */
export function expectFinite(losses: Readonly<Record<string, number>>): void {
  const bad = Object.values(losses).find((loss) => !Number.isFinite(loss));
  if (bad === undefined) return;
  const advice = 'Weights of the model are no numbers, or so large that they overflow. Evaluate an earlier checkpoint.';
  throw new PerformerError('NUMERIC', `evaluate: expected a finite loss, got ${bad}. ${advice}`);
}

/**
 * The effective rank of rows x [rows, dim] (Roy & Vetterli 2007): e to the entropy of the eigenvalues of E[xxᵀ], taken as
 * shares. From 1, all rows on a line, to dim, no direction preferred: of how many dims the features must tell anything.
 */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { PerformerError } from '../base/errors.js';

function notFinite(): PerformerError {
  return new PerformerError('NUMERIC', 'effectiveRank: expected finite rows that are not all zero.');
}

/** Throws SHAPE unless there are rows, of one length; NUMERIC for rows that are not finite or all zero. */
export function effectiveRank(rows: readonly ArrayLike<number>[]): number {
  const dim = rows[0]?.length ?? 0;
  if (dim === 0 || rows.some((row) => row.length !== dim)) {
    throw new PerformerError('SHAPE', 'effectiveRank: expected rows of one length, at least one.');
  }
  // The decomposition itself does not take such rows.
  if (!rows.every((row) => Array.from(row).every(Number.isFinite))) throw notFinite();
  const x = new Matrix(rows.map((row) => Array.from(row)));
  const { realEigenvalues } = new EigenvalueDecomposition(x.transpose().mmul(x), { assumeSymmetric: true });
  const shares = realEigenvalues.map((value) => Math.max(value, 0));
  const total = shares.reduce((a, b) => a + b, 0);
  if (!(total > 0 && total < Number.POSITIVE_INFINITY)) {
    throw notFinite();
  }
  return Math.exp(
    shares.reduce((entropy, value) => entropy - (value === 0 ? 0 : (value / total) * Math.log(value / total)), 0),
  );
}

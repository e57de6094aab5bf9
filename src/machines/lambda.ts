/**
 * Choosing λ, and solving. One matrix serves every λ, and the error of each on the held-out rows follows from the normal
 * equations of those rows, which are not read again. The λ fall, each solution beginning where the last one ended.
 */
import { internalError, PerformerError } from '../base/errors.js';
import type { Engine } from '../engine/index.js';
import { type CentredSystem, type NormalEquations, squaredError } from './normal-equations.js';
import { mostCholesky, ridgeSolver } from './solve.js';

/** The λ that are tried while they lower the error, as parts of the mean of |φ − φ̄|². */
const lambdaGrid = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/** Where the features are few enough for Cholesky, these too: small γ bring the curvature of a function to λ below γ². */
const fineLambdaGrid = [...lambdaGrid, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12];
/** Of the residual while λ is chosen. */
const searchTolerance = 1e-4;

/** A λ that was compared on the held-out rows. */
export interface TriedLambda {
  readonly lambda: number;
  /** The mean squared error on the held-out rows, of standardised targets; undefined where λ was too small to solve. */
  readonly error: number | undefined;
}

/** The normal equations of the rows to train on, and of those that are held out. */
export interface Sums {
  readonly train: NormalEquations;
  readonly heldOut: NormalEquations;
}

/** In standardised targets. */
export interface Solution {
  /** [outputs, features] */
  readonly weights: Float64Array;
  readonly intercepts: Float64Array;
}

export interface Found {
  readonly lambda: number;
  readonly tried: readonly TriedLambda[];
  /** From the rows that are not held out, where some are. */
  readonly split: Solution | undefined;
  /** From all rows. */
  readonly whole: Solution;
}

/** Chooses λ unless it is given, and solves. The held-out sums are taken into those of all rows at the end. */
export async function chooseAndSolve(
  engine: Engine,
  { train, heldOut }: Sums,
  given: number | undefined,
): Promise<Found> {
  if (heldOut.rows === 0) {
    if (given === undefined) throw internalError('neither a lambda nor held-out rows to choose one with');
    const whole = await solveOnce(engine, train.centred(), given);
    return { lambda: given, tried: [], split: undefined, whole };
  }
  const { tried, ...best } = await search(engine, train.centred(), heldOut.centred(), given);
  train.merge(heldOut);
  return { ...best, tried, whole: await solveOnce(engine, train.centred(), best.lambda) };
}

async function solveOnce(engine: Engine, system: CentredSystem, lambda: number): Promise<Solution> {
  const solver = await ridgeSolver(engine, system);
  try {
    return withIntercepts(system, await solver.solve(lambda));
  } finally {
    await solver.dispose();
  }
}

function withIntercepts({ size, featureMean, targetMean }: CentredSystem, weights: Float64Array): Solution {
  const intercepts = targetMean.map((mean, output) => {
    let total = mean;
    for (let at = 0; at < size; at++) total -= (featureMean[at] as number) * (weights[output * size + at] as number);
    return total;
  });
  return { weights, intercepts };
}

/** The λ of the grid, or the one given, with the least error on the held-out rows. */
async function search(
  engine: Engine,
  system: CentredSystem,
  heldOut: CentredSystem,
  given: number | undefined,
): Promise<{ lambda: number; split: Solution; tried: TriedLambda[] }> {
  const solver = await ridgeSolver(engine, system);
  try {
    if (given !== undefined) {
      return { lambda: given, split: withIntercepts(system, await solver.solve(given)), tried: [] };
    }
    const tried: TriedLambda[] = [];
    let best: { lambda: number; split: Solution; error: number } | undefined;
    for (const part of system.size <= mostCholesky ? fineLambdaGrid : lambdaGrid) {
      const lambda = part * (system.spread || 1);
      const split = await solver.solve(lambda, searchTolerance).then(
        (weights) => withIntercepts(system, weights),
        (cause: unknown) => {
          if (cause instanceof PerformerError && cause.code === 'NUMERIC') return undefined;
          throw cause;
        },
      );
      const error = split && squaredError(heldOut, split.weights, split.intercepts);
      tried.push({ lambda, error });
      if (split === undefined || error === undefined) break; // smaller ones are harder still
      if (best === undefined || error < best.error) best = { lambda, split, error };
      else if (error > 1.5 * best.error) break; // past the valley
    }
    if (best === undefined)
      throw new PerformerError(
        'NUMERIC',
        'fitKernelMachine: expected features that tell the rows apart in float32, got a system that no lambda solves. ' +
          'Standardise the columns, give another gamma, offset or map, or a lambda above 1e-1.',
      );
    return { lambda: best.lambda, split: best.split, tried };
  } finally {
    await solver.dispose();
  }
}

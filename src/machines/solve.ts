/**
 * (A + λI) X = B for a symmetric positive semidefinite A [size, size] and right sides B [outputs, size], rows first.
 *
 * Small systems are solved by Cholesky in float64. Larger ones by conjugate gradients, whose products with A run in the
 * engine in float32, inside iterative refinement: the residual B − (A + λI)X is taken in float64, so the solution is that
 * of the float64 system. The solution for one λ is where the search for the next, smaller one begins. With 2,048 unknowns,
 * ten outputs and λ at 1e-4 of the spread it is eight times as fast as Cholesky (docs/kernel-machines.md).
 */
import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { float32, type HostTensor } from '../base/array.js';
import { PerformerError } from '../base/errors.js';
import type { Engine, Executable } from '../engine/index.js';
import { matmul, spec, type Tensor, type TensorSpec } from '../graph/index.js';

/** Unknowns up to which Cholesky is as fast as it needs to be: some 30 ms. */
const choleskyLimit = 256;
/** Unknowns up to which Cholesky takes the λ that float32 products cannot resolve: some seconds. */
export const mostCholesky = 2048;
/** Below this part of the trace of A, λ is lost in the rounding of float32 products. */
const float32Part = 3e-7;
/** |B − (A + λI)X| ≤ tolerance·|B| ends the refinement: there is little more in an A that came from float32 products. */
const usualTolerance = 1e-7;
/** What a solution must reach to be one. */
const acceptable = 1e-5;
const mostRefinements = 12;
const mostIterations = 3000;
/** By how much one round of conjugate gradients lowers the residual, as far as float32 carries. */
const roundTolerance = 1e-3;

export interface RidgeSolver {
  /**
   * X [outputs, size] for one λ > 0, to a tolerance of the residual (1e-7 unless given) where it is found step by step.
   * Throws NUMERIC when λ is too small for the precision of A.
   */
  solve(lambda: number, tolerance?: number): Promise<Float64Array>;
  dispose(): Promise<void>;
}

export interface RidgeSystem {
  readonly size: number;
  readonly outputs: number;
  /** A, row-major; both triangles. */
  readonly matrix: Float64Array;
  /** B [outputs, size] */
  readonly right: Float64Array;
}

function unsolvable(lambda: number, why: string): PerformerError {
  return new PerformerError(
    'NUMERIC',
    `solveRidge: expected a system that float32 products determine, got ${why} at lambda ${lambda}. Raise lambda.`,
  );
}

/** Y [outputs, size] = X·A, for symmetric A: every row of A is read once for all outputs. */
export function multiplyRows({ size, outputs, matrix }: RidgeSystem, x: Float64Array): Float64Array {
  const result = new Float64Array(outputs * size);
  for (let row = 0; row < size; row++) {
    const base = row * size;
    for (let output = 0; output < outputs; output++) {
      const offset = output * size;
      let total = 0;
      for (let column = 0; column < size; column++) {
        total += (matrix[base + column] as number) * (x[offset + column] as number);
      }
      result[offset + row] = total;
    }
  }
  return result;
}

/** A solver for several λ of one system, quickest when they fall. */
export async function ridgeSolver(engine: Engine, system: RidgeSystem): Promise<RidgeSolver> {
  const { size, matrix } = system;
  const exact = choleskySolver(system);
  if (size <= choleskyLimit) return exact;
  const quick = await ConjugateGradients.create(engine, system);
  if (size > mostCholesky) return quick;
  let trace = 0;
  for (let row = 0; row < size; row++) trace += matrix[row * size + row] as number;
  return {
    solve: (lambda, tolerance) => (lambda < float32Part * trace ? exact : quick).solve(lambda, tolerance),
    dispose: () => quick.dispose(),
  };
}

/** The float64 twin. */
export function choleskySolver({ size, outputs, matrix, right }: RidgeSystem): RidgeSolver {
  return {
    async solve(lambda) {
      const shifted = new Matrix(size, size);
      for (let row = 0; row < size; row++) {
        for (let column = 0; column < size; column++) {
          shifted.set(row, column, (matrix[row * size + column] as number) + (row === column ? lambda : 0));
        }
      }
      const decomposition = new CholeskyDecomposition(shifted);
      if (!decomposition.isPositiveDefinite()) throw unsolvable(lambda, 'a matrix that is not positive definite');
      const columns = new Matrix(size, outputs);
      right.forEach((value, at) => {
        columns.set(at % size, Math.floor(at / size), value);
      });
      const solution = decomposition.solve(columns);
      return Float64Array.from(right, (_, at) => solution.get(at % size, Math.floor(at / size)));
    },
    async dispose() {},
  };
}

type Product = Executable<readonly [{ readonly a: HostTensor }, { readonly x: TensorSpec }], Tensor>;

/** Conjugate gradients with a diagonal preconditioner, for all outputs side by side. */
export class ConjugateGradients implements RidgeSolver {
  #last: Float64Array;

  private constructor(
    private readonly system: RidgeSystem,
    private readonly product: Product,
  ) {
    this.#last = new Float64Array(system.outputs * system.size);
  }

  static async create(engine: Engine, system: RidgeSystem): Promise<ConjugateGradients> {
    const { size, outputs, matrix } = system;
    const product = await engine.compile(
      ({ a }: { a: Tensor }, { x }: { x: Tensor }) => matmul(x, a),
      [{ a: float32([size, size], matrix) }, { x: spec('float32', [outputs, size]) }],
    );
    return new ConjugateGradients(system, product);
  }

  async solve(lambda: number, tolerance = usualTolerance): Promise<Float64Array> {
    const { right, size, outputs } = this.system;
    const norms = rowNorms(right, outputs, size);
    const solution = this.#last.slice();
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < mostRefinements; round++) {
      const products = multiplyRows(this.system, solution);
      const residual = right.map((value, at) => value - (products[at] as number) - lambda * (solution[at] as number));
      const error = Math.max(...rowNorms(residual, outputs, size).map((norm, row) => norm / (norms[row] || 1)));
      if (!(error < 0.5 * best)) break; // as good as float32 products make it, or diverging
      best = error;
      this.#last = solution.slice();
      if (error <= tolerance) break;
      const step = await this.#round(residual, lambda);
      for (let at = 0; at < step.length; at++) solution[at] = (solution[at] as number) + (step[at] as number);
    }
    if (!(best <= Math.max(acceptable, tolerance))) {
      this.#last.fill(0);
      throw unsolvable(lambda, `a residual of ${best.toExponential(1)}`);
    }
    return this.#last.slice();
  }

  /** An approximate solution of (A + λI) X = B by float32 products. */
  async #round(right: Float64Array, lambda: number): Promise<Float64Array> {
    const { size, outputs, matrix } = this.system;
    const inverse = Float64Array.from({ length: size }, (_, at) => 1 / ((matrix[at * size + at] as number) + lambda));
    const x = new Float64Array(right.length);
    const residual = right.slice();
    const preconditioned = residual.map((value, at) => value * (inverse[at % size] as number));
    const direction = preconditioned.slice();
    const energies = rowProducts(residual, preconditioned, outputs, size);
    const goals = rowNorms(right, outputs, size).map((norm) => norm * roundTolerance);
    for (let iteration = 0; iteration < mostIterations; iteration++) {
      const image = await this.#multiply(direction);
      const norms = rowNorms(residual, outputs, size);
      let isDone = true;
      for (let output = 0; output < outputs; output++) {
        const energy = energies[output] as number;
        if ((norms[output] as number) <= (goals[output] as number)) continue;
        const [start, end] = [output * size, (output + 1) * size];
        let curvature = 0;
        for (let at = start; at < end; at++) {
          const p = direction[at] as number;
          image[at] = (image[at] as number) + lambda * p;
          curvature += p * (image[at] as number);
        }
        if (!(curvature > 0)) continue; // rounding has made A indefinite here: keep what there is
        isDone = false;
        const length = energy / curvature;
        let next = 0;
        for (let at = start; at < end; at++) {
          x[at] = (x[at] as number) + length * (direction[at] as number);
          const r = (residual[at] as number) - length * (image[at] as number);
          residual[at] = r;
          const z = r * (inverse[at - start] as number);
          preconditioned[at] = z;
          next += r * z;
        }
        for (let at = start; at < end; at++) {
          direction[at] = (preconditioned[at] as number) + (next / energy) * (direction[at] as number);
        }
        energies[output] = next;
      }
      if (isDone) break;
    }
    return x;
  }

  /** X·A in float32; each row is scaled to a norm of 1 on the way, lest it leave the range of float32. */
  async #multiply(x: Float64Array): Promise<Float64Array> {
    const { size, outputs } = this.system;
    const norms = rowNorms(x, outputs, size).map((norm) => norm || 1);
    const scaled = new Float32Array(x.length);
    for (let at = 0; at < x.length; at++) scaled[at] = (x[at] as number) / (norms[Math.floor(at / size)] as number);
    const product = await this.product.run([{ x: float32([outputs, size], scaled) }]);
    const image = new Float64Array(x.length);
    for (let at = 0; at < x.length; at++) {
      image[at] = (product.data[at] as number) * (norms[Math.floor(at / size)] as number);
    }
    return image;
  }

  dispose(): Promise<void> {
    return this.product.dispose();
  }
}

function rowProducts(left: Float64Array, right: Float64Array, rows: number, size: number): number[] {
  return Array.from({ length: rows }, (_, row) => {
    let total = 0;
    for (let at = row * size; at < (row + 1) * size; at++) total += (left[at] as number) * (right[at] as number);
    return total;
  });
}

function rowNorms(x: Float64Array, rows: number, size: number): number[] {
  return rowProducts(x, x, rows, size).map(Math.sqrt);
}
